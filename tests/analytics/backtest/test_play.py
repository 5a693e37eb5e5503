from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import pytest

from routecast.analytics.backtest.metrics import figures_of
from routecast.analytics.backtest.play import OUTCOMES, PerfectState, Played, Stage, play
from routecast.analytics.backtest.request_log import Asked
from routecast.analytics.backtest.scene import Scene
from routecast.analytics.backtest.simulated import SimulatedTarget
from routecast.analytics.backtest.spells import Spell
from routecast.analytics.simulation.references import best_cost, orc_cost
from routecast.models.events import Outcome

MakeScene = Callable[..., Scene]


class InTurn:
    """Targets in turn, passing over those tried."""

    def __init__(self, stage: Stage) -> None:
        self._n = len(stage.targets)
        self.asked: list[tuple[int, tuple[int, ...]]] = []

    def choose(self, request: int, tried: Collection[int]) -> int:
        """The request's number, then on."""
        self.asked.append((request, tuple(tried)))
        return next(target for i in range(self._n) if (target := (request + i) % self._n) not in tried)

    def started(self, request: int, target: int) -> int:
        """What it was."""
        del request
        return target

    def probes(self, handle: int) -> bool:
        """Never."""
        del handle
        return False

    def finished(self, handle: int, duration_ms: float, outcome: Outcome, target: SimulatedTarget) -> None:
        """Nothing to learn."""


def failing(from_ms: float, until_ms: float) -> dict[int, tuple[Spell, ...]]:
    """An outage of the first target."""
    return {0: (Spell("failing", from_ms, until_ms, 1.0, 9),)}


def test_every_request_ends_once(make_scene: MakeScene) -> None:
    """Without load and troubles each takes its time alone, at the target that was chosen."""
    played = play(make_scene(), InTurn)
    assert played.request.tolist() == list(range(200))
    assert played.time_ms.tolist() == pytest.approx([100.0] * 200)
    assert played.served.tolist() == [0, 1] * 100
    assert not played.failed.any()


def test_load_beyond_the_slots_waits(make_scene: MakeScene) -> None:
    """One slot for 100 ms of work every 50 ms and target: the last of n waits for n/2 others."""
    played = play(make_scene(n=100, gap_ms=25.0, slots=1.0), InTurn)
    assert played.time_ms[-1] == pytest.approx(100.0 + 49 * 50.0)


def test_failures_are_tried_elsewhere(make_scene: MakeScene) -> None:
    """During an outage each request ends well at the other target; retries know what was tried."""
    played = play(make_scene(spells=failing(5_000.0, 10_000.0)), InTurn)
    into = (played.target == 0) & (played.outcome == OUTCOMES.index("error"))
    assert into.sum() == 25
    assert not played.failed.any()
    assert (played.served[50:100] == 1).all()


def test_a_request_that_fails_everywhere_has_failed(make_scene: MakeScene) -> None:
    """It costs thirty seconds more, and is no success."""
    everywhere = {i: (Spell("failing", 0.0, 1e9, 1.0, 9),) for i in range(2)}
    played = play(make_scene(n=20, spells=everywhere), InTurn)
    assert played.failed.all()
    assert played.served.tolist() == [-1] * 20
    assert played.to_success_ms.tolist() == pytest.approx([30_000.0] * 20)
    assert figures_of(played)["failed_ratio"] == 1.0


def test_a_slow_spell_lasts_as_long_as_it_was(make_scene: MakeScene) -> None:
    """Answers that begin in it take three times as long, others do not."""
    played = play(make_scene(spells={0: (Spell("slow", 5_000.0, 10_000.0, 3.0, 9),)}), InTurn)
    slow = played.time_ms[np.arange(0, 200, 2)]
    assert slow[25:50].tolist() == pytest.approx([300.0] * 25)
    assert slow[60:].tolist() == pytest.approx([100.0] * 40)


def test_a_deadline_ends_an_attempt_as_a_timeout(make_scene: MakeScene) -> None:
    """The next target is asked when the recorded deadline of the request has passed."""
    scene = make_scene(n=20, spells={0: (Spell("slow", 0.0, 1e9, 10.0, 9),)})
    scene = replace(scene, requests=replace(scene.requests, asked={0: Asked("medium", 250.0, "")}))
    played = play(scene, InTurn)
    first = [OUTCOMES[outcome] for outcome in played.outcome[played.request == 0]]
    assert first == ["timeout", "ok"]
    assert played.time_ms[0] == pytest.approx(350.0)


def test_a_limit_refuses_what_exceeds_it(make_scene: MakeScene) -> None:
    """Ten seconds' worth pass at once, the rest is refused and goes elsewhere."""
    scene = make_scene(n=400, gap_ms=10.0)
    limited = replace(scene, targets=(replace(scene.targets[0], requests_per_s=5.0), replace(scene.targets[1], law=scene.targets[1].law._replace(slots=99.0))))
    played = play(limited, InTurn)
    refused = (played.outcome == OUTCOMES.index("rate_limited")).sum()
    assert refused == pytest.approx(200 - 50 - 5.0 * 4.0, abs=2)
    assert not played.failed.any()


@pytest.mark.parametrize("cost", [orc_cost, best_cost])
def test_perfect_state_passes_over_what_is_down(make_scene: MakeScene, cost: Callable[[float, float], float]) -> None:
    """Nothing is sent into an outage, and nothing into a storm of refusals."""
    troubles = failing(5_000.0, 10_000.0) | {1: (Spell("refusing", 12_000.0, 15_000.0, 0.9, 9),)}
    played = play(make_scene(spells=troubles), lambda stage: PerfectState(stage, cost))
    assert (played.outcome == 0).all()


def test_equal_arguments_give_equal_runs(make_scene: MakeScene) -> None:
    """A scene and a policy decide everything."""
    runs: list[Played] = [play(make_scene(spells=failing(3_000.0, 9_000.0)), InTurn) for _ in range(2)]
    assert runs[0].ended_ms.tolist() == runs[1].ended_ms.tolist()
