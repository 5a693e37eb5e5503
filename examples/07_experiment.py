"""An experiment: round robin beside the default policy, assigned by request, with a result that may be looked at at any time."""

import random

from routecast import Config
from routecast.models.events import Control
from routecast.models.experiment_report import ExperimentReport
from routecast.models.experiments import Arm, Experiment
from routecast.testing import Fleet

SPEED_S = {"east": 0.4, "west": 0.6, "north": 1.2}
config = Config.model_validate({"target": [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in SPEED_S]})
fleet, rng = Fleet(config, routers=2, seed=7), random.Random(7)


def request() -> None:
    """One request, and the next one after it."""
    router = fleet.router(rng.randrange(2))
    call = router.start(router.choose())
    fleet.queue.after(1000 * SPEED_S[call.decision.target] * rng.lognormvariate(0, 0.4), call.finish)
    fleet.queue.after(rng.expovariate(10) * 1000, request)


experiment = Experiment(
    name="rr", salt="5eed5eed", service="chat", starts_ms=fleet.now_ms, ends_ms=fleet.now_ms + 3_600_000, rails={"errors": 0.02},
    arms=(Arm(name="control", share=0.5), Arm(name="rr", share=0.5, policy="round_robin")),
)  # fmt: skip
fleet.tell(Control(at_ms=fleet.now_ms, action="start_experiment", service="chat", experiment=experiment))
request()
for minute in range(1, 4):
    fleet.advance_to(fleet.now_ms + 60_000)
    (report,) = [insight for insight in fleet.insights() if isinstance(insight, ExperimentReport)]
    print(f"minute {minute}: {[arm.exposed for arm in report.arms]} requests, {report.verdict}")
