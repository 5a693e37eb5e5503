"""The demonstration as a recording: a file to try everything on that reads one, made in virtual time without a broker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.trial import Simulation, run
from routecast.demo.comparison import START_MS
from routecast.demo.demonstration import ROUTERS, Scene, scene
from routecast.models.config import Config, Policy
from routecast.models.errors import ConfigError
from routecast.routed import RouterPolicy
from routecast.streams.memory import MemoryLog
from routecast.streams.recordings.recording import RecordingWriter
from routecast.streams.topics import CONTROL, EVENTS, STATE, TICKS, TRIPS, Topic
from routecast.testing import Fleet

_SETTLE_MS: Final = 13_000.0
"""After the last answer everything is folded and published."""
_TOPICS: Final[tuple[Topic, ...]] = (STATE, TICKS, CONTROL, TRIPS, EVENTS)
_ALL: Final = 1 << 40
"""More records than a demonstration writes: the log forgets none."""


def record_demo(
    path: Path, *, seed: int = 1, duration_s: float = 420.0, policy: Policy = "performance", weights: Mapping[str, float] | None = None,
    routers: int = ROUTERS,
) -> Config:  # fmt: skip
    """Run the demonstration of this seed and write everything that was on its log to a file that does not exist.

    Equal arguments give recordings with equal events, and the requests are the same whatever the policy. A second or two for each
    virtual minute. Raises ConfigError where the file exists, and for weights of unknown targets.

    Args:
        path: the recording.
        seed: of everything random.
        duration_s: virtual seconds of traffic, 60 at least.
        policy: whom the routers follow.
        weights: of targets; others have 1.
        routers: how many there are, 16 at most.

    Returns the configuration of its targets, which the recording holds too.
    """
    stage = scene(seed, duration_s)
    config, made = _configured(stage, policy, weights or {}), list[Fleet]()

    def build(simulation: Simulation) -> RouterPolicy:
        fleet = Fleet(config, routers=routers, seed=seed, queue=simulation.queue)
        fleet.pipeline.kept = _ALL
        made.append(fleet)
        return RouterPolicy(simulation, [target.id for target in config.target], lambda i: fleet.router(i % routers))

    with RecordingWriter(path, "routecast.") as out:  # first of all: it refuses a file that is there
        run(stage.world, build, seed=seed, make=stage.make, queue=EventQueue(START_MS))
        fleet = made[0]
        fleet.advance_to(fleet.now_ms + _SETTLE_MS)
        _copy(fleet.pipeline.log, out)
    return config


def _configured(stage: Scene, policy: Policy, weights: Mapping[str, float]) -> Config:
    config = stage.config()
    if unknown := sorted(weights.keys() - {target.id for target in config.target}):
        raise ConfigError(f"no target {unknown[0]!r} in the demonstration: it has {', '.join(target.id for target in config.target)}")
    targets = tuple(target.model_copy(update={"weight": weights.get(target.id, target.weight)}) for target in config.target)
    routing = config.routing.model_copy(update={"policy": policy})
    return config.model_copy(update={"target": targets, "routing": routing})


def _copy(log: MemoryLog, out: RecordingWriter) -> None:
    for topic in _TOPICS:
        for partition in log.partitions(topic):
            for record in log.read(topic, partition, 0, log.end(topic, partition)):
                out.add(topic, partition, record)
