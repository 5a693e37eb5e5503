from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from routecast.models.config import Config
from routecast.models.events import Control
from routecast.models.experiment_report import ExperimentReport
from routecast.models.experiments import Arm, Experiment
from routecast.streams.calls.call import Call
from routecast.testing import Fleet

MINUTE_MS = 60_000.0
CONFIG = Config.model_validate({"target": [{"id": f"t{i}", "provider": f"p{i % 3}", "model": "m", "service": "chat"} for i in range(6)]})


class Traffic:
    """Requests of a fleet, so many a second; every target is slower than the one before it, and arms fail as they are told to."""

    def __init__(self, per_s: float = 20.0, fails: Callable[[str], float] = lambda _: 0.02) -> None:
        self.fleet = Fleet(CONFIG, routers=4, seed=3, partitions=3, period_ms=5_000)
        self.truth = Counter[tuple[str, str]]()
        self._per_s, self._fails, self._rng = per_s, fails, random.Random(1)
        self._request()

    def start(self, **more: Any) -> Experiment:
        """Begin an experiment of round robin beside the policy of the service."""
        arms = (Arm(name="control", share=0.5), Arm(name="rr", share=0.5, policy="round_robin"))
        now_ms = self.fleet.now_ms
        plain: dict[str, Any] = {"name": "x", "salt": "0123abcd", "service": "chat", "arms": arms, "starts_ms": now_ms, "ends_ms": now_ms + 100 * MINUTE_MS}
        experiment = Experiment(**(plain | more))
        self.fleet.tell(Control(at_ms=now_ms, action="start_experiment", service="chat", experiment=experiment))
        return experiment

    def stop(self, experiment: Experiment) -> None:
        """End it, and let everything come to its end."""
        self.fleet.tell(Control(at_ms=self.fleet.now_ms, action="stop_experiment", service="chat", name=experiment.id, why="enough"))
        self.run(0.5)

    def run(self, minutes: float) -> ExperimentReport:
        """What is said of the experiment then."""
        self.fleet.advance_to(self.fleet.now_ms + minutes * MINUTE_MS)
        (report,) = [insight for insight in self.fleet.insights() if isinstance(insight, ExperimentReport)]
        return report

    def _request(self) -> None:
        router = self.fleet.router(self._rng.randrange(4))
        call = router.start(router.choose(session=f"s-{self._rng.randrange(1000)}"))
        arm = call.decision.ref().arm.partition("/")[2]
        self.truth[arm, "exposed"] += 1
        slow = 0.5 * 1.3 ** int(call.decision.target[1:])
        self.fleet.queue.after(1000.0 * slow * self._rng.lognormvariate(0.0, 0.5), self._end, call, arm)
        self.fleet.queue.after(self._rng.expovariate(self._per_s) * 1000.0, self._request)

    def _end(self, call: Call, arm: str) -> None:
        failed = self._rng.random() < self._fails(arm)
        self.truth[arm, "failed" if failed else "ok"] += 1
        call.tokens(input=100, output=self._rng.randrange(1, 400))
        call.finish("error" if failed else "ok")


def counted(report: ExperimentReport) -> Counter[tuple[str, str]]:
    """As the report has them."""
    return Counter({(arm.name, field): getattr(arm, field) for arm in report.arms for field in ("exposed", "ok", "failed")})


def test_an_experiment_from_its_start_to_its_end() -> None:
    """Routers assign, counts are the truth, round robin over unequal targets is found to be slower, and after the end nothing is assigned."""
    traffic = Traffic()
    traffic.fleet.advance_to(traffic.fleet.now_ms + 2_000)
    experiment = traffic.start()
    assert traffic.run(0.1).verdict == "rr is undecided: too little is known yet"
    report = traffic.run(2)
    assert report.standing == "worse"
    assert report.sample_ratio.ok
    traffic.stop(experiment)
    report = traffic.run(0.5)
    truth = Counter({key: n for key, n in traffic.truth.items() if key[0]})
    assert (report.state, report.ended_by, counted(report)) == ("ended", "operator", truth)
    assert traffic.fleet.router(0).choose().assigned is None


def test_a_guard_rail_ends_an_experiment_that_does_harm() -> None:
    """Within seconds of its certainty, and everything goes on as without it."""
    traffic = Traffic(fails=lambda arm: 0.3 if arm == "rr" else 0.02)
    traffic.start(rails={"errors": 0.02})
    report = traffic.run(2)
    assert (report.ended_by, report.arms[1].stopped_why[:9]) == ("guard rail", "failures ")
    assert report.arms[1].exposed < 1_000
    assert traffic.fleet.router(0).choose().assigned is None


def test_switchback_finds_what_blocks_of_time_show() -> None:
    """Whole minutes of one policy and of the other are its observations, and the same arms run in all routers at a time."""
    traffic = Traffic(per_s=8.0)
    traffic.start(unit="block", block_ms=10_000.0, washout_ms=2_000.0, planned=60)
    report = traffic.run(8)
    units = {arm.name: arm.levels["latency"].units for arm in report.arms}
    assert 36 <= sum(units.values()) <= 48
    assert report.standing == "worse"
    assert len({traffic.fleet.router(i).choose().ref().arm for i in range(4)}) == 1


def test_a_shadow_shows_how_often_it_would_have_chosen_otherwise() -> None:
    """And nothing of what would have come of it."""
    traffic = Traffic()
    experiment = traffic.start(shadow=True)
    traffic.run(1)
    traffic.stop(experiment)
    report = traffic.run(0.1)
    control, shadow = report.arms
    assert (control.exposed, shadow.exposed, shadow.attempts) == (traffic.truth["control", "exposed"], control.exposed, 0)
    assert 0.1 < shadow.agreed / shadow.exposed < 0.9
    assert report.verdict.startswith("rr would have chosen another target than control for ")


def test_sessions_are_judged_by_stretches_of_time() -> None:
    """Requests of a session are not independent: the means of ten seconds are the observations."""
    traffic = Traffic(per_s=10.0)
    traffic.start(unit="session", block_ms=10_000.0, planned=60)
    report = traffic.run(4)
    assert {arm.name: arm.levels["latency"].units for arm in report.arms} == {"control": 23, "rr": 23}
    assert (report.standing, report.sample_ratio.tested) == ("worse", False)
