"""One demonstration, what the fleet noticed in it, and whether the calls bear out what it noticed of targets that had no trouble of their own."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.simulation.trial import Simulation, run
from routecast.demo.comparison import START_MS, FleetPolicy
from routecast.demo.demonstration import scene
from routecast.models.events import Completed, decode_events
from routecast.models.insights import Change, Metric
from routecast.models.report import Noticed
from routecast.routed import RouterPolicy
from routecast.streams.topics import EVENTS
from routecast.testing import Fleet

_ALL: Final = 1 << 40
"""More records than a demonstration writes: the log forgets none."""
_BEFORE_MS: Final = 90_000.0
_AFTER_MS: Final = 30_000.0
_SURE: Final = 3.0
"""Standard errors between two levels that are surely not the same."""
_FEW: Final = 5
_DRAWS: Final = 20

_FIGURES: Final[Mapping[Metric, Callable[[Completed], float | None]]] = {
    "response_time": lambda call: math.log(call.duration_ms) if call.outcome == "ok" and call.duration_ms else None,
    "ttft": lambda call: math.log(call.ttft_ms) if call.outcome == "ok" and call.ttft_ms else None,
    "tpot": lambda call: math.log(_per_token_ms(call)) if call.outcome == "ok" and _per_token_ms(call) > 0.0 else None,
    "error_ratio": lambda call: float(call.outcome != "ok"),
}
"""What a metric is of one call; times by their logarithms, whose means a few slow answers do not carry away."""


class Signs(NamedTuple):
    """What was noticed in one demonstration."""

    seed: int
    noticed: tuple[Noticed, ...]
    """Every trouble and what named its target."""
    elsewhere: tuple[str, ...]
    """What was noticed of targets without a trouble of their own."""
    doubtful: tuple[str, ...]
    """Those of them that the calls do not bear out."""
    chance: float
    """Share of the same changes, put at random times, that the calls would bear out."""


def signs(seed: int, duration_s: float) -> Signs:
    """Play the demonstration of this seed under the default policy; virtual seconds."""
    stage, made = scene(seed, duration_s), list[FleetPolicy]()

    def build(simulation: Simulation) -> RouterPolicy:
        made.append(FleetPolicy(simulation, stage, "performance", seed, None, ()))
        made[0].fleet.pipeline.kept = _ALL
        return made[0].routed

    run(stage.world, build, seed=seed, start_ms=START_MS, make=stage.make)
    made[0].settle()
    fleet, elsewhere = made[0].fleet, made[0].journal.elsewhere()
    calls = _calls(fleet)
    changes = [change for change in fleet.insights() if isinstance(change, Change)]
    luck, right, chances = random.Random(seed), dict[str, bool](), list[bool]()
    for sign in elsewhere:
        change = _change_of(sign, changes)
        own = calls.get(change.subject.id, []) if change else []
        right[sign] = change is not None and _borne_out(change, own)
        if change is not None:
            chances += [_borne_out(_moved(change, START_MS + 1000 * luck.uniform(0.1, 0.9) * duration_s), own) for _ in range(_DRAWS)]
    wrong = tuple(sign for sign, found in right.items() if not found)
    return Signs(seed, made[0].journal.noticed(), elsewhere, wrong, sum(chances) / len(chances) if chances else 0.0)


def _change_of(sign: str, changes: Sequence[Change]) -> Change | None:
    """The change that a journal has noted like this; it looks every second, and what it notes was found shortly before."""
    name, _, at = sign.rpartition(" at ")
    at_ms = START_MS + 1000 * float(at.removesuffix(" s"))
    named = [change for change in changes if name == f"{change.subject.id}: change {change.metric} {'worse' if change.worse else 'better'}"]
    return min(named, key=lambda change: abs(change.detected_ms - at_ms), default=None)


def _moved(change: Change, since_ms: float) -> Change:
    """The same, found at another time."""
    return change.model_copy(update={"since_ms": since_ms, "detected_ms": since_ms + change.detected_ms - change.since_ms})


def _calls(fleet: Fleet) -> dict[str, list[Completed]]:
    """By target, as they were reported."""
    log, found = fleet.pipeline.log, dict[str, list[Completed]]()
    for partition in log.partitions(EVENTS):
        for record in log.read(EVENTS, partition, 0, log.end(EVENTS, partition)):
            for event in decode_events(record.value or b"[]")[0]:
                if isinstance(event, Completed):
                    found.setdefault(event.target, []).append(event)
    return found


def _borne_out(change: Change, calls: Sequence[Completed]) -> bool:
    """Whether the calls until it was found, or those of half a minute after that, lie surely to the side of those before that it says."""
    figure = _FIGURES.get(change.metric)
    if figure is None:
        return False
    found = [(call.at_ms, value) for call in calls if (value := figure(call)) is not None]

    def within(from_ms: float, until_ms: float) -> NDArray[np.float64]:
        return np.array([value for at_ms, value in found if from_ms <= at_ms < until_ms])

    before = within(change.since_ms - _BEFORE_MS, change.since_ms)
    spans = ((change.since_ms, change.detected_ms), (change.detected_ms, change.detected_ms + _AFTER_MS))
    up = change.after > change.before
    return any(_apart(before, within(*span)) * (1.0 if up else -1.0) > _SURE for span in spans)


def _apart(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """By how many standard errors the second mean is above the first; 0 where there are too few of either."""
    if min(len(before), len(after)) < _FEW:
        return 0.0
    error = math.sqrt(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after))
    return float(after.mean() - before.mean()) / error if error else 0.0


def _per_token_ms(call: Completed) -> float:
    if call.ttft_ms is None or not call.output_tokens or call.output_tokens < 2:
        return 0.0
    return (call.duration_ms - call.ttft_ms) / (call.output_tokens - 1)
