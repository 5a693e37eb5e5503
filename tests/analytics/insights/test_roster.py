"""Periods between looks: everybody at a place that stays, sums over services and the system, whatever order targets came in."""

from __future__ import annotations

import pytest

from routecast.analytics.checkpoint import restore, state_of
from routecast.analytics.fold import PartitionFold
from routecast.analytics.merge import Merge
from routecast.analytics.windows.details import DetailsBuilder
from routecast.analytics.windows.period import Period
from routecast.models.config import Config, Objective, Routing, TargetConfig
from routecast.models.events import Completed

T0 = 1_700_000_000_000
CONFIG = Config(
    target=(
        TargetConfig(id="zulu", provider="acme", model="m1", service="chat"),
        TargetConfig(id="alpha", provider="bolt", model="m2", service="chat"),
        TargetConfig(id="mike", provider="acme", model="m1", service="embeddings"),
    ),
    routing=Routing(objective=Objective(within_ms=1000)),
    service={"embeddings": {"objective": {"within_ms": 100}}},
)


class Look:
    """Events that a builder has seen."""

    def __init__(self) -> None:
        self.builder, self._merge, self._fold = DetailsBuilder(CONFIG), Merge(), PartitionFold(0)

    def see(self, at_s: float, *ended: Completed) -> None:
        """What reached the log by this time."""
        self._fold.apply(self._fold.offset + 1, T0 + at_s * 1000, ended)
        for key, value in self._fold.flush():
            self._merge.add(key, value)
        self.builder.update(T0 + at_s * 1000, self._merge)

    def period(self, start_s: float, end_s: float) -> Period:
        """Between two looks."""
        return self.builder.period(T0 + start_s * 1000, T0 + end_s * 1000)


def ended(target: str, at_s: float, ms: float = 500.0, service: str = "") -> Completed:
    """A success."""
    at_ms = T0 + at_s * 1000
    return Completed(at_ms=at_ms, request_id="r", target=target, started_at_ms=at_ms - ms, duration_ms=ms, outcome="ok", cost_usd=0.25, service=service)


def by_name(period: Period, figure: str = "ok") -> dict[str, float]:
    """A figure of everybody."""
    return {subject.id: float(value) for subject, value in zip(period.subjects, getattr(period, figure), strict=True)}


def test_everybody_has_a_row_before_anything_happened() -> None:
    """The system, the configured targets and their services, all with nothing."""
    period = Look().period(0, 10)
    assert [(subject.kind, subject.id) for subject in period.subjects] == [
        ("system", "system"), ("target", "zulu"), ("target", "alpha"), ("target", "mike"), ("service", "chat"), ("service", "embeddings"),
    ]  # fmt: skip
    assert period.requests.tolist() == [0.0] * 6


def test_services_and_system_are_sums_of_their_targets() -> None:
    """Each attempt counts for its target, for the service of that and for the system."""
    look = Look()
    look.see(10, ended("zulu", 1), ended("zulu", 2), ended("alpha", 3), ended("mike", 4))
    period = look.period(0, 10)
    assert by_name(period) == {"system": 4, "zulu": 2, "alpha": 1, "mike": 1, "chat": 3, "embeddings": 1}
    assert by_name(period, "cost_usd") == {"system": 1, "zulu": 0.5, "alpha": 0.25, "mike": 0.25, "chat": 0.75, "embeddings": 0.25}


def test_slow_is_judged_by_the_objective_of_each_service() -> None:
    """Half a second is in time for chat, and not for embeddings; the system counts what was slow in either."""
    look = Look()
    look.see(10, ended("zulu", 1), ended("zulu", 2, 5000), ended("mike", 4))
    assert by_name(look.period(0, 10), "slow") == {"system": 2, "zulu": 1, "alpha": 0, "mike": 1, "chat": 1, "embeddings": 1}


def test_consecutive_periods_leave_nothing_out_and_count_nothing_twice() -> None:
    """Also where several panes passed between two looks, and looks come in the middle of a pane."""
    look = Look()
    look.see(205, *(ended("zulu", at_s) for at_s in range(205)))
    assert [by_name(look.period(*between))["zulu"] for between in ((0, 10), (10, 63), (63, 201), (201, 209))] == [10, 50, 140, 0]


def test_new_targets_come_behind_and_the_others_keep_their_place() -> None:
    """Several that appear at once are ordered by name, with their services after them."""
    look = Look()
    look.see(10, ended("zulu", 1))
    before = [subject.id for subject in look.period(0, 10).subjects]
    look.see(20, ended("tango", 11, service="speech"), ended("bravo", 12, service="chat"), ended("zulu", 13))
    period = look.period(10, 20)
    assert [subject.id for subject in period.subjects] == [*before, "bravo", "tango", "speech"]
    assert by_name(period) == {"system": 3, "zulu": 1, "alpha": 0, "mike": 0, "chat": 2, "embeddings": 0, "bravo": 1, "tango": 1, "speech": 1}


@pytest.mark.parametrize("service", ["", "chat"])
def test_places_go_on_with_whoever_takes_them_over(service: str) -> None:
    """A new leader sees everybody at once, and still puts them where they were."""
    first, second = Look(), Look()
    for at_s, target in ((10, "tango"), (20, "bravo")):
        first.see(at_s, ended(target, at_s - 1, service=service))
        first.period(0, 10)
    second.see(20, ended("tango", 9, service=service), ended("bravo", 19, service=service))
    restore(second.builder.roster, state_of(first.builder.roster))
    assert [subject.id for subject in second.period(0, 20).subjects] == [subject.id for subject in first.period(0, 20).subjects]
    assert [subject.id for subject in second.period(0, 20).subjects][6:] == ["tango", "bravo"]
