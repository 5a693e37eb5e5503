from __future__ import annotations

import numpy as np
import pytest

from routecast.analytics.backtest.scene import Requests, Scene, SceneTarget
from routecast.analytics.backtest.spells import Spell
from routecast.analytics.capacity.service_law import Law
from routecast.backtest.backtesting import run_all
from routecast.backtest.fleet import Candidate
from routecast.backtest.input import service_config
from routecast.models.config import Config

pytestmark = pytest.mark.untraced

NAMES = ("quick", "slow")
CONFIG = Config.model_validate({"target": [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in NAMES]})


def scene(seed: int = 1, n: int = 1500, *, outage: bool = True) -> Scene:
    """Twenty requests a second to a target of 100 ms, which is down from 30 to 45 s, and one of 300 ms, through two routers."""
    rng = np.random.default_rng(seed)
    at_ms = np.cumsum(np.random.default_rng(0).exponential(50.0, n))
    requests = Requests(1.7e12, at_ms - at_ms[0], np.arange(n) % 2, np.full(n, 50.0), np.full(n, 50.0), {})
    spells = (Spell("failing", 30_000.0, 45_000.0, 1.0, 9),) if outage else ()
    return Scene(
        "chat", requests,
        tuple(
            SceneTarget(
                id=name, law=Law(8.0, 1.0, 0.0), alone_ms=mean_ms * np.exp(rng.normal(-0.08, 0.4, n)), ttft_share=np.full(n, 0.3), luck=rng.random(n),
                usd=np.full(n, 0.01), quality=0.8, spells=spells if name == "quick" else (),
            )
            for name, mean_ms in zip(NAMES, (100.0, 300.0), strict=True)
        ),
        seed,
    )  # fmt: skip


def test_policies_meet_the_same_and_differ_by_their_choices() -> None:
    """Our policy is quicker than taking turns, leaves an outage and comes back; the worst decisions are explained; one yardstick for all regrets."""
    outcome = run_all([scene(1), scene(2)], [Candidate(name, CONFIG, name) for name in ("performance", "round_robin")], jobs=1)
    ours, turns = outcome.policies
    assert ours.figures.mean_ms is not None
    assert turns.figures.mean_ms is not None
    assert ours.figures.mean_ms.value < 0.9 * turns.figures.mean_ms.value
    assert ours.shares["quick"] > turns.shares["quick"]
    (left,) = ours.failovers
    assert left.left_after_s is not None
    assert left.left_after_s < 3
    assert left.back_after_s is not None
    assert [it.target for it in outcome.incidents] == ["quick"]
    assert "open" in {span.state for span in ours.states if span.target == "quick"}
    assert len(outcome.worst) == 20
    assert outcome.worst[0].took_ms - outcome.worst[0].best_alone_ms >= outcome.worst[-1].took_ms - outcome.worst[-1].best_alone_ms
    assert outcome.worst[0].decision.reason
    regrets = [[run["time_to_success_ms"] - run["regret_ms"] for run in runs] for runs in outcome.runs.values()]
    assert regrets[0] == pytest.approx(regrets[1])


def test_the_work_may_be_shared() -> None:
    """One process or two: the same outcome, byte for byte, and progress up to the end."""
    told: list[float] = []
    candidates = [Candidate(name, CONFIG, name) for name in ("random", "greedy")]
    alone, shared = (run_all([scene(n=400)], candidates, jobs=jobs, tell=told.append) for jobs in (1, 2))
    assert [it.model_dump_json() for it in alone.policies] == [it.model_dump_json() for it in shared.policies]
    assert told == [0.5, 1.0, 0.5, 1.0]


def test_a_service_is_played_with_its_own_targets_alone() -> None:
    """Others and their overrides are left out; targets that nobody configured come by their names."""
    config = Config.model_validate(
        {
            "target": [*CONFIG.model_dump()["target"], {"id": "m", "provider": "p", "model": "m", "service": "mail"}],
            "service": {"chat": {"policy": "greedy"}, "mail": {"policy": "random"}},
        }
    )
    found = service_config(config, "chat", ["slow", "stranger"])
    assert [target.id for target in found.target] == ["slow", "stranger"]
    assert found.routing_for("chat").policy == "greedy"
    assert found.services == {"chat"}
    assert [target.id for target in service_config(None, "chat", ["a"]).target] == ["a"]
