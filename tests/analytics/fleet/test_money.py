from __future__ import annotations

from routecast.analytics.fleet.money import Money
from routecast.models.rows import TargetTotals


def _requests(n: int, usd: float) -> TargetTotals:
    return TargetTotals("t", cost_n=n, cost_micro_usd=round(n * usd * 1e6))


def test_without_a_budget_money_counts_as_configured() -> None:
    """A second that is worth half a dollar makes a dollar two seconds; worth nothing, prices do not count, whatever is spent."""
    for usd_per_second, expected in ((0.5, 2.0), (0.0, 0.0)):
        money = Money(usd_per_second, 0.0)
        money.update(1.0, [_requests(10, 9.0)])
        assert money.seconds_per_usd(3.0) == expected


def test_money_is_worth_more_while_requests_cost_more_than_their_budget_and_nothing_in_the_end_when_less() -> None:
    """It rises, stays where spending meets the budget, and falls back to the configured worth."""
    money, seen = Money(0.0, 0.001), list[float]()
    for usd, seconds in ((0.002, 60), (0.0005, 1), (0.001, 60), (0.0005, 300)):
        for _ in range(seconds):
            money.update(1.0, [_requests(10, usd), _requests(0, 0.0)])
        seen.append(money.seconds_per_usd(2.0))
    assert seen[0] > 1000
    assert seen[2] > 0
    assert seen[3] == 0.0


def test_requests_of_unknown_cost_are_no_evidence() -> None:
    """Nothing reported, nothing changed."""
    money = Money(0.0, 0.001)
    money.update(1.0, [TargetTotals("t", ok=100)])
    assert money.seconds_per_usd(1.0) == 0.0


def test_a_budget_that_nothing_meets_has_a_last_word() -> None:
    """The worth of money stays finite where every target is too dear."""
    money = Money(0.0, 0.001)
    for _ in range(10_000):
        money.update(1.0, [_requests(10, 1.0)])
    assert 100 / 0.001 <= money.seconds_per_usd(1.0) <= 1000 / 0.001
