from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from routecast import Config
from routecast.analytics.changes.trends import TrendTracker
from routecast.analytics.checkpoint import pack, unpack
from routecast.analytics.insights.analysis import Analysis
from routecast.analytics.insights.insights import Insights
from routecast.analytics.insights.roster import Roster
from routecast.analytics.windows.period import Period
from routecast.models.errors import DecodeError
from routecast.models.insights import Insight, Subject, Trends

T = 1_700_000_040_000.0
_BEGINS = 650
"""Second in which an analysis begins."""
SIZES = {"big": 450, "small": 30, "tiny": 2}
TARGETS = [{"id": f"{service}-{i}", "provider": "p", "model": "m", "service": service} for service, n in SIZES.items() for i in range(n)]
CONFIG = Config.model_validate({"target": TARGETS})
SUBJECTS = (
    Subject(kind="system", id="system"),
    *(Subject(kind="target", id=t["id"], provider="p", model="m", service=t["service"]) for t in TARGETS),
    *(Subject(kind="service", id=service, service=service) for service in SIZES),
)


def _period(number: int) -> Period:
    """Ten seconds in which the answers of every second subject take longer than before."""
    n = len(SUBJECTS)
    counts, nothing, ms = np.full(n, 100.0), np.zeros(n), np.where(np.arange(n) % 2, 500.0 + 2.0 * number, 500.0)
    return Period(
        start_ms=T + number * 10_000, end_ms=T + (number + 1) * 10_000, subjects=SUBJECTS, ok=counts, error=nothing, timeout=nothing, rate_limited=nothing,
        requests=counts, slow=nothing, duration_n=counts, duration_ms=counts * ms, ttft_n=nothing, ttft_ms=nothing,
        tpot_n=nothing, tpot_ms=nothing, quality_n=nothing, quality_sum=nothing, cost_usd=nothing,
    )  # fmt: skip


def _second(insights: Insights, s: int) -> list[Insight]:
    """The tick of a second; a period ends every ten."""
    return insights.tick(T + 10_000 + s * 1000, [], None if s % 10 else _period(s // 10), {})


@cache
def _begun() -> bytes:
    """The state right before an analysis begins."""
    insights = Insights(CONFIG, Roster(CONFIG))
    for s in range(_BEGINS):
        _second(insights, s)
    return pack(insights.state())


def _after(ticks: int) -> Insights:
    insights = Insights(CONFIG, Roster(CONFIG))
    insights.resume(unpack(_begun()))
    for s in range(_BEGINS, _BEGINS + ticks):
        _second(insights, s)
    return insights


def _said(insights: list[Insight]) -> list[Trends]:
    return [insight for insight in insights if isinstance(insight, Trends)]


def test_an_analysis_takes_three_hundred_subjects_a_tick_and_says_services_as_they_are_complete() -> None:
    """All of them at once would hold up a tick; everything of a service is said together, as of one time."""
    insights = _after(0)
    said = [_said(_second(insights, s)) for s in (_BEGINS, _BEGINS + 1, _BEGINS + 2)]
    assert [[found.service for found in tick] for tick in said] == [[""], ["big", "small", "tiny"], []]
    big = said[1][0]
    assert {trend.subject.id for trend in big.trends} == {"big", *(f"big-{i}" for i in range(450))}
    assert big.at_ms == said[0][0].at_ms == T + 660_000


@pytest.mark.parametrize("ticks", [1, 2])
def test_whoever_takes_over_in_the_middle_of_an_analysis_goes_on_with_it(ticks: int) -> None:
    """Records and state are those of a leader that was never interrupted, which replay compares byte for byte."""
    leader, successor = _after(ticks), Insights(CONFIG, Roster(CONFIG))
    successor.resume(unpack(pack(leader.state())))
    for s in range(_BEGINS + ticks, _BEGINS + 12):
        assert _second(successor, s) == _second(leader, s)
        assert pack(successor.state()) == pack(leader.state())


def test_an_analysis_is_finished_before_a_minute_ends() -> None:
    """With ticks that are far apart as well: afterwards its windows would be others."""
    insights = _after(0)
    assert [found.service for found in _said(_second(insights, _BEGINS))] == [""]
    late = _said(_second(insights, _BEGINS + 60))
    assert [(found.service, found.at_ms) for found in late] == [("big", T + 660_000), ("small", T + 660_000), ("tiny", T + 660_000), ("", T + 720_000)]
    assert {trend.end_ms for trend in late[0].trends} == {T + 660_000}


def test_a_state_of_something_else_is_refused() -> None:
    """A leader then begins anew, and says so."""
    analysis = Analysis(TrendTracker())
    with pytest.raises(DecodeError, match="not a subject"):
        analysis.under_way = {"at_ms": T, "first": 0, "done": 0, "subjects": [{"kind": "planet"}]}
