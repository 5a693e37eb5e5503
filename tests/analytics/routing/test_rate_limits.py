"""Which targets a router may use, by their rate limits."""

from __future__ import annotations

import pytest

from routecast.analytics.routing.rate_limits import LONGEST_HOLD_MS, UNRESERVED, Limited, RateLimits, Reserved, roominess, stepped
from routecast.models.config import TargetConfig
from routecast.models.limits import ProviderLimits, Quota


def limits(**figures: float) -> RateLimits:
    """Limits of one target, as configured."""
    made = RateLimits([TargetConfig.model_validate({"id": "a", "provider": "p", "model": "m", "service": "chat"} | figures)])
    made.refresh(1.0, 500.0, 100.0)
    return made


def of(made: RateLimits) -> Limited:
    """Those of the one target."""
    (found,) = made.of
    assert found is not None
    return found


def start(made: RateLimits, input_tokens: float | None = None, output_tokens: float | None = None) -> Reserved:
    """What a call to it takes."""
    return made.started(of(made), input_tokens, output_tokens)


def test_a_target_without_limits_is_free() -> None:
    """Until a header or a refusal says otherwise."""
    free = limits()
    assert (free.of, free.limited, free.until_ms(0, 5.0), free.headroom(0, 5.0)) == ([None], [], 5.0, 1.0)
    free.told(0, ProviderLimits(Quota(0, 10, 10_000)), UNRESERVED, 0.0, 0.0)
    assert (free.limited, free.headroom(0, 0.0)) == ([0], 0.0)
    assert free.until_ms(0, 0.0) > 0


def test_tokens_are_taken_as_told_or_as_expected() -> None:
    """What goes in and may come out where the caller says so, else what a request of the service needs on average."""
    made = limits(tokens_per_min=60_000.0)
    assert start(made, 1000, 2000).tokens == 3000
    assert start(made).tokens == 600
    assert made.headroom(0, 0.0) == pytest.approx(0.64)
    made.ended(of(made), start(made, 1000, 2000), 400.0, 0.0, ok=True)
    assert made.headroom(0, 0.0) == pytest.approx(0.60)


def test_each_router_takes_its_share_of_the_headroom() -> None:
    """One that sees a tenth of the traffic counts each request ten times: what is left is everybody's."""
    made = limits(requests_per_min=600.0)
    made.refresh(0.1, 0.0, 0.0)
    start(made)
    assert made.headroom(0, 0.0) == pytest.approx(0.9)
    for _ in range(9):
        start(made)
    assert made.until_ms(0, 0.0) == pytest.approx(1000.0)


def test_a_look_is_due_only_when_another_request_may_not_fit() -> None:
    """Starts in between cost two additions."""
    made = limits(requests_per_min=600.0)
    made.until_ms(0, 0.0)
    due = list[bool]()
    for _ in range(101):
        start(made)
        due.append(of(made).out)
    assert due == [False] * 99 + [True] * 2


def test_a_refusal_keeps_the_target_out_until_its_time() -> None:
    """A second where it named none, five minutes at the most."""
    for retry_after_ms, hold_ms in ((None, 1000.0), (20_000.0, 20_000.0), (864e5, LONGEST_HOLD_MS)):
        made = limits()
        made.refused(0, retry_after_ms, 0.0, 100.0)
        assert made.until_ms(0, 100.0) == 100.0 + hold_ms
        assert made.until_ms(0, 100.0 + hold_ms) == 100.0 + hold_ms


@pytest.mark.parametrize("kind", ["requests", "tokens"])
def test_without_a_reset_a_refusals_time_is_when_there_is_more(kind: str) -> None:
    """Azure says that nothing is left and when to come again, never when it is full: that nothing was left does not keep it out for longer."""
    made = limits()
    empty = ProviderLimits(**{kind: Quota(0)}, retry_after_ms=2000.0)
    made.told(0, empty, UNRESERVED, 0.0, 0.0)
    made.refused(0, empty.retry_after_ms, 0.0, 0.0)
    assert (made.until_ms(0, 0.0), made.until_ms(0, 1999.0)) == (2000.0, 2000.0)
    assert made.until_ms(0, 2001.0) == 2001.0
    made.told(0, ProviderLimits(Quota(0, 10, 60_000)), UNRESERVED, 3000.0, 3000.0)
    made.refused(0, 2000.0, 3000.0, 3000.0)
    assert made.until_ms(0, 3000.0) > 8000.0, "a reset says more than when to come again"


def test_refusals_in_a_row_keep_it_out_twice_as_long_each_time() -> None:
    """Where the time named is too short; refusals of calls that were under way already tell nothing new, and a success begins anew."""
    made, now_ms, holds = limits(), 0.0, list[float]()
    for _ in range(4):
        made.refused(0, 1000.0, now_ms, now_ms)
        made.refused(0, 1000.0, now_ms - 1.0, now_ms)
        holds.append(made.until_ms(0, now_ms) - now_ms)
        now_ms += holds[-1]
    assert holds == [1000.0, 2000.0, 4000.0, 8000.0]
    made.ended(of(made), UNRESERVED, None, now_ms, ok=True)
    made.refused(0, 1000.0, now_ms, now_ms)
    assert made.until_ms(0, now_ms) == now_ms + 1000.0


def test_what_is_reported_names_the_limit_behind_the_rest() -> None:
    """Five hundred used of a thousand that are full again in a minute: five hundred a minute."""
    made = limits()
    said = ProviderLimits(Quota(500, 1000, 60_000), None)
    made.told(0, said, UNRESERVED, 0.0, 0.0)
    report = made.reported(0, said)
    assert report is not None
    assert (report.remaining_requests, report.reset_ms, report.requests_per_min, report.tokens_per_min) == (500, 60_000, 500, None)
    assert made.reported(0, ProviderLimits()) is None


def test_a_tight_target_becomes_dearer() -> None:
    """From 20 % headroom on in proportion, without a jump; what is told of it changes in steps, never upwards of the truth."""
    assert [roominess(headroom) for headroom in (1.0, 0.2, 0.1, 0.0)] == pytest.approx([1.0, 1.0, 0.5, 0.05])
    assert stepped(0.2) is None
    told = [stepped(percent / 100) for percent in range(1, 20)]
    assert all(step is not None and step <= percent / 100 + 1e-9 for step, percent in zip(told, range(1, 20), strict=True))
    assert len(set(told)) < 10
