"""When plans are made, by a leader whose answers are literal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import pytest

from routecast.models.capacity import Capacity
from routecast.models.config import Config
from routecast.models.insights import Recommendations
from routecast.models.planning import PlannedTarget, PlanningInput
from routecast.streams.leadership.planner import REST, Planner, plan_at_once
from routecast.streams.leadership.planning import Child

TARGETS = [{"id": name, "provider": "p", "model": "m", "service": service} for name, service in (("a", "chat"), ("b", "mail"))]
CONFIG = Config.model_validate({"target": TARGETS, "intervals": {"analysis_ms": 60_000}})


class Leader:
    """A leader of two services: `chat` has traffic enough, `mail` little; `idle` have none."""

    def __init__(self, *idle: str) -> None:
        self.idle = idle
        self.asked: list[str] = []
        self.plans: list[str] = []

    def planning_input(self, service: str) -> PlanningInput | None:
        """Of a minute."""
        self.asked.append(service)
        if service in self.idle:
            return None
        target = PlannedTarget(id="a", state="ok", capacity=8.0, service_s=0.5, sigma=0.5, n=500.0)
        arrived = (4 if service == "chat" else 1,) * 100
        return PlanningInput(
            service=service, at_ms=60_000.0, limit_ms=500.0, quality_minimum=0.7, quality_target=0.9, targets=(target,),
            slot_ms=tuple(range(0, 50_000, 500)), arrived=arrived,
        )  # fmt: skip

    def planned(self, capacity: Capacity, recommendations: Recommendations) -> None:
        """Note it."""
        assert capacity.service == recommendations.service
        self.plans.append(capacity.service)


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.s = 1000.0

    def now_ms(self) -> float:
        """Epoch ms."""
        return self.s * 1000.0

    def monotonic_s(self) -> float:
        """Seconds."""
        return self.s


def turn_until(planner: Planner, leader: Leader, n: int, eventually: Callable[..., None]) -> None:
    """Ticks until so many plans came back."""

    def enough() -> bool:
        planner.turn(leader)
        return len(leader.plans) >= n

    eventually(enough)


def test_each_service_is_planned_once_a_round_and_rounds_keep_their_distance(eventually: Callable[..., None]) -> None:
    """The first round begins an interval after the beginning: a short program never starts a process."""
    clock, leader = Watch(), Leader()
    planner = Planner(CONFIG, clock)
    clock.s += 59.0
    planner.turn(leader)
    assert leader.asked == []
    clock.s += 1.0
    turn_until(planner, leader, 2, eventually)
    assert leader.plans == ["chat", "mail"]
    clock.s += 59.0
    planner.turn(leader)
    assert leader.asked == ["chat", "mail"]
    clock.s += 1.0
    planner.turn(leader)
    assert leader.asked == ["chat", "mail", "chat"]
    planner.close()


def test_services_without_traffic_start_no_process() -> None:
    """Nor does one with little: its plan says what is missing and takes no time."""
    clock, leader, made = Watch(), Leader("chat"), list[str]()

    def none() -> Child:
        made.append("child")
        return Child()

    planner = Planner(CONFIG, clock, none)
    clock.s += 60.0
    planner.turn(leader)
    planner.turn(leader)
    assert (leader.plans, made) == (["mail"], [])


def test_it_can_be_switched_off() -> None:
    """Nobody is asked for anything."""
    clock, leader = Watch(), Leader()
    off = CONFIG.model_copy(update={"planning": CONFIG.planning.model_copy(update={"enabled": False})})
    planner = Planner(off, clock)
    clock.s += 600.0
    planner.turn(leader)
    assert leader.asked == []


def test_a_long_round_is_followed_by_a_long_rest(eventually: Callable[..., None]) -> None:
    """A plan that takes a minute is made every five."""
    clock, leader = Watch(), Leader("mail")
    planner = Planner(CONFIG, clock)
    clock.s += 60.0
    planner.turn(leader)
    clock.s += 60.0  # while the process works
    turn_until(planner, leader, 1, eventually)
    planner.turn(leader)
    clock.s += 60.0 * REST - 1.0
    planner.turn(leader)
    assert leader.asked.count("chat") == 1
    clock.s += 2.0
    planner.turn(leader)
    planner.turn(leader)
    assert leader.asked.count("chat") == 2
    planner.close()


def test_a_process_that_fails_is_one_warning_and_the_next_round_tries_again(caplog: pytest.LogCaptureFixture, eventually: Callable[..., None]) -> None:
    """The other service is planned all the same; the same reason is not said again and again."""
    clock, leader = Watch(), Leader()
    planner = Planner(CONFIG, clock, lambda: Child((sys.executable, "-c", "import sys; sys.exit('broken')")))
    with caplog.at_level(logging.WARNING):
        for round_ in (1, 2, 3):
            clock.s += 60.0
            turn_until(planner, leader, round_, eventually)
    assert leader.plans == ["mail"] * 3
    assert leader.asked.count("chat") == 3
    warnings = [record for record in caplog.records if "not brought up to date" in record.message]
    assert len(warnings) == 1
    assert "broken" in warnings[0].message


def test_a_leader_that_fails_to_say_what_it_knows_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A plan is worth no snapshot: `turn` never raises."""

    class Broken(Leader):
        def planning_input(self, service: str) -> PlanningInput | None:
            raise ZeroDivisionError(service)

    clock = Watch()
    planner = Planner(CONFIG, clock)
    clock.s += 60.0
    with caplog.at_level(logging.WARNING):
        planner.turn(Broken())
    assert "ZeroDivisionError" in caplog.text


def test_closing_ends_the_process_that_is_at_work() -> None:
    """At once, and nothing is begun afterwards."""
    clock, leader = Watch(), Leader()
    planner = Planner(CONFIG, clock, lambda: Child((sys.executable, "-c", "import threading; threading.Event().wait()")))
    clock.s += 60.0
    planner.turn(leader)
    thread = planner._thread
    assert thread is not None
    planner.close()
    assert not thread.is_alive()
    clock.s += 600.0
    planner.turn(leader)
    assert leader.asked == ["chat"]


def test_where_time_is_virtual_plans_are_made_on_the_spot() -> None:
    """One after the other, without any process."""
    leader = Leader()
    plan_at_once(leader, ["chat", "mail"])
    assert leader.plans == ["chat", "mail"]
