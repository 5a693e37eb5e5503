from __future__ import annotations

import random

import pytest

from routecast.analytics.simulation.simulator import EventQueue
from routecast.models.config import Config
from routecast.models.errors import ConfigError
from routecast.models.requirements import Requirements
from routecast.models.snapshot import encode_snapshot
from routecast.testing import Fleet

CONFIG = Config.model_validate({"target": [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in "abc"]})


def _run(seed: int, partitions: int = 1) -> tuple[list[str], bytes]:
    fleet, luck = Fleet(CONFIG, routers=4, seed=seed, partitions=partitions), random.Random(9)
    chosen: list[str] = []
    for _ in range(600):
        fleet.advance_to(fleet.now_ms + luck.expovariate(0.02))
        router = fleet.router(luck.randrange(4))
        call = router.start(router.choose())
        chosen.append(call.decision.target)
        fleet.queue.after(luck.lognormvariate(6, 1), call.finish)
    snapshot = fleet.snapshot()
    assert snapshot is not None
    return chosen, encode_snapshot(snapshot)


def test_a_fleet_is_deterministic_under_its_seed() -> None:
    """Equal decisions and equal bytes; another seed decides otherwise."""
    assert _run(1) == _run(1)
    assert _run(1)[0] != _run(2)[0]


def test_the_number_of_partitions_leaves_no_trace() -> None:
    """Merged rows are integers: one partition or four, the snapshot is the same to the byte."""
    assert _run(1, partitions=1) == _run(1, partitions=4)


def test_the_documented_example_works() -> None:
    """Durations come from the virtual clock."""
    fleet = Fleet(CONFIG, routers=16, period_ms=1000, start_ms=1_700_000_000_000, seed=7)
    call = fleet.router(3).start(fleet.router(3).choose(Requirements(urgency="low")))
    fleet.advance_to(1_700_000_000_420)
    call.first_chunk()
    call.tokens(input=550, output=150)
    call.finish(outcome="ok")
    fleet.advance_to(1_700_000_012_500)
    details = fleet.details()
    assert details is not None
    found = next(target for target in details.targets if target.id == call.decision.target)
    assert found.requests_total == 1
    assert found.windows["1m"].latency.mean_ms == pytest.approx(420.0)
    assert fleet.router(3).target(call.decision.target) == found
    assert fleet.router(3).provider("none") is None


def test_a_fleet_can_share_the_queue_of_a_simulation() -> None:
    """Its time then is the simulation's."""
    queue = EventQueue(5_000_000.0)
    fleet = Fleet(CONFIG, routers=1, queue=queue)
    queue.advance_to(5_002_500.0)
    snapshot = fleet.snapshot()
    assert snapshot is not None
    assert (fleet.now_ms, snapshot.at_ms) == (5_002_500.0, 5_002_000.0)


def test_a_fleet_of_several_services_wants_to_know_which() -> None:
    """A clear error instead of a guess."""
    two = Config.model_validate({"target": [{"id": s, "provider": "p", "model": "m", "service": s} for s in ("chat", "mail")]})
    with pytest.raises(ConfigError, match="which service"):
        Fleet(two)
    assert Fleet(two, service="mail", routers=1).router(0).choose().target == "mail"
