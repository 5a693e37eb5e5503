"""What a worker tells of itself: what it folds, and while it leads, every target of the fleet."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Protocol

from routecast.analytics.fleet.bars import GrowingBars
from routecast.models import telemetry as t
from routecast.models.config import Config
from routecast.models.rows import TargetTotals
from routecast.models.telemetry import Bars, Family, Sample
from routecast.streams.clock import Clock
from routecast.streams.folding import Folding
from routecast.streams.leadership.leader import Leader

_OUTCOMES = ("ok", "error", "timeout", "rate_limited", "cancelled", "caller_fault")
_MILLION = 1_000_000


class Timing:
    """How long something took, each time, over the fixed bounds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(t.BOUNDS_S) + 1)
        self._sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Once more."""
        self._counts[bisect_left(t.BOUNDS_S, seconds)] += 1
        self._sum_s += seconds

    @property
    def bars(self) -> Bars:
        """All of them."""
        return Bars(tuple(self._counts), self._sum_s)


class Leadership(Protocol):
    """What is read of `Leading`."""

    term: int
    leader: Leader | None
    ticks: Timing
    buried: int


class Measures:
    """Reads the figures of a worker, on its loop.

    Args:
        config: targets that have series of their own; all others are one.
        clock: for the age of the snapshot.
        folding: what this worker folds.
        leading: whether it leads.
    """

    def __init__(self, config: Config, clock: Clock, folding: Folding, leading: Leadership) -> None:
        self._config = config
        self._clock = clock
        self._folding = folding
        self._leading = leading
        self._of: Leader | None = None
        self._bars: Mapping[Family, GrowingBars] = {}

    def take(self) -> bool:
        """Count of what the leader has merged since the last time as much as takes no time; whether that was all. Call it every few minutes at least."""
        leader = self._leading.leader
        if leader is not self._of:
            self._of = leader
            targets = [target.id for target in self._config.target]
            self._bars = {t.DURATION: GrowingBars("duration", targets), t.FIRST_CHUNK: GrowingBars("ttft", targets)}
        return leader is None or not [bars for bars in self._bars.values() if not bars.take(leader.merge)]

    def samples(self, ends: Mapping[int, int], buried: int) -> Iterator[Sample]:
        """Everything; `ends` are those of the owned partitions, `buried` the records that the fold gave to the dead letters."""
        self.take()
        yield Sample(t.FOLDED, self._folding.folded)
        yield Sample(t.BAD, self._folding.bad)
        yield Sample(t.DEAD_LETTERS, buried + self._leading.buried)
        for partition, reached in self._folding.reached.items():
            if partition in ends:
                yield Sample(t.LAG, max(0, ends[partition] - reached - 1), (str(partition),))
        yield Sample(t.LEADS, float(self._leading.leader is not None))
        if self._leading.leader is not None:
            yield from self._of_leader(self._leading.leader)

    def _of_leader(self, leader: Leader) -> Iterator[Sample]:
        now_ms = self._clock.now_ms()
        yield Sample(t.TERM, self._leading.term)
        yield Sample(t.TICKS, self._leading.ticks.bars)
        yield Sample(t.ROUTERS, leader.merge.routers(now_ms))
        if leader.snapshots:
            yield Sample(t.SNAPSHOT_AGE, (now_ms - max(snapshot.at_ms for snapshot in leader.snapshots.values())) / 1000.0)
        configured = {target.id: target for target in self._config.target}
        yield from _totals(leader, {name: target.service for name, target in configured.items()})
        for family, bars in self._bars.items():
            for name, found in bars.bars().items():
                target = configured.get(name)
                names = (target.id, target.service, target.provider, target.model) if target else (t.OTHER,) * 4
                yield Sample(family, found, names)
        for snapshot in leader.snapshots.values():
            for entry in snapshot.targets:
                if entry.id in configured:
                    yield Sample(t.STATE, 1.0, (entry.id, snapshot.service, entry.state))
                    yield Sample(t.IN_FLIGHT, entry.in_flight, (entry.id, snapshot.service))


def _totals(leader: Leader, services: Mapping[str, str]) -> Iterator[Sample]:
    """Counts of every configured target, whose service is given, and of all others together."""
    sums: dict[tuple[Family, tuple[str, ...]], float] = {}
    for name, totals in leader.merge.target_totals().items():
        target = (name, services[name]) if name in services else (t.OTHER, t.OTHER)
        for family, labels, value in _counts(totals):
            place = (family, (*target, *labels))
            sums[place] = sums.get(place, 0.0) + value
    for (family, labels), value in sums.items():
        yield Sample(family, value, labels)


def _counts(totals: TargetTotals) -> Iterator[tuple[Family, tuple[str, ...], float]]:
    yield t.STARTED, (), totals.started
    for outcome in _OUTCOMES:
        yield t.REQUESTS, (outcome,), getattr(totals, outcome)
    yield t.TOKENS, ("input",), totals.input_tokens
    yield t.TOKENS, ("output",), totals.output_tokens
    yield t.COST, (), totals.cost_micro_usd / _MILLION
