from __future__ import annotations

import random
from collections import Counter

import pytest

from routecast.analytics.balance import POLICIES, Own, Table, costs_now
from routecast.dashboards.terminal.glance import Glance, Subject, Window
from routecast.dashboards.terminal.traffic import PLANNED, Traffic, policy_of
from routecast.models.config import Config
from routecast.models.snapshot import RoutingSnapshot

CONFIG = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}], "routing": {"policy": "greedy"}})


def _at(second: float, **totals: int) -> Glance:
    targets = tuple(Subject(name, started_total=total, windows={"1m": Window(requests=1)}) for name, total in totals.items())
    return Glance("chat", second * 1000.0, Subject("all"), targets)


def test_shares_are_those_of_the_attempts_that_began_within_the_last_minute() -> None:
    """By the difference of totals; before there are two of them, of the attempts that ended within it."""
    traffic = Traffic()
    traffic.take(_at(0, a=1000, b=0))
    assert traffic.shares["chat"] == {"a": 0.5, "b": 0.5}
    for second in range(10, 91, 10):
        traffic.take(_at(second, a=1000 + second, b=3 * second))
    assert traffic.shares["chat"] == {"a": 0.25, "b": 0.75}
    for second in range(100, 161, 10):
        traffic.take(_at(second, a=1090, b=270 + second))
    assert traffic.shares["chat"] == {"a": 0.0, "b": 1.0}
    for second in range(170, 231, 10):
        traffic.take(_at(second, a=1090, b=430))
    assert traffic.shares["chat"] == {}


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_a_policy_plans_where_its_picks_follow_the_planned_shares(name: str) -> None:
    """All else equal, what is planned nine times as often is picked more often by these policies, and by no other."""
    rng, picked = random.Random(1), Counter[int]()
    table = Table([0, 1], [1.0, 1.0], [0.1, 0.9], [1.0, 1.0], [1.0, 1.0], explore=True)
    own = Own([0, 0], [1.0, 1.0], [1.0, 1.0])
    for _ in range(400):
        picked[POLICIES[name](table, own, costs_now(table, own), rng)[0]] += 1
    twin = Table([0, 1], [1.0, 1.0], [0.9, 0.1], [1.0, 1.0], [1.0, 1.0], explore=True)
    other = Counter(POLICIES[name](twin, own, costs_now(twin, own), rng)[0] for _ in range(400))
    assert (abs(picked[0] - other[0]) > 100) == (name in PLANNED)


def test_operators_and_evidence_win_over_the_configuration() -> None:
    """The policy of the snapshot, else the configured one."""
    snapshot = RoutingSnapshot(service="chat", term=1, seq=1, at_ms=0.0, period_ms=1.0, rate_per_s=0.0, routers=0, t_ref_s=1.0, targets=())
    assert policy_of(CONFIG, snapshot) == "greedy"
    told = RoutingSnapshot(service="chat", term=1, seq=2, at_ms=0.0, period_ms=1.0, rate_per_s=0.0, routers=0, t_ref_s=1.0, targets=(), policy="weighted")
    assert policy_of(CONFIG, told) == "weighted"
