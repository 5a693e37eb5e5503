"""The study of memory: a fold and a leader with everything on through a month of virtual time, and whether what they keep stops growing.

Twenty targets that fail, slow down, are drained and silenced; one comes on the fifth day, before what is compared, as a leader knows for ever
what it has seen; another vanishes in mid-month. Routers are restarted daily. In the first night a successor goes on from a checkpoint.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import statistics
import sys
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from core import configuration
from memory_month import DAY_MS, HOUR_MS, START_MS, Traffic, failing, words

from routecast.analytics.checkpoint import pack, unpack
from routecast.analytics.fold import PartitionFold
from routecast.analytics.merge import Merge
from routecast.analytics.simulation.simulator import EventQueue
from routecast.models.config import Intervals
from routecast.models.events import Tripped
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.leadership.leader import Leader, Message
from routecast.streams.leadership.planner import plan_at_once
from routecast.streams.leadership.recalling import recalled, take_over
from routecast.streams.memory import MemoryLog, MemoryReader
from routecast.streams.topics import METRICS
from routecast.streams.vitals import memory_mb
from routecast.testing import VirtualClock

SETTLED = 8
"""Days after which nothing is to grow any more."""
MOST_GROWTH = 0.03
_PERIOD_MS = 300_000
"""Of ticks, so that a month takes minutes."""
_HANDED_OVER_MS = 3 * HOUR_MS // 2
_T95 = 2.09
"""Of a slope through 22 days."""


class Sample(NamedTuple):
    """What is kept at a time."""

    events: int
    rss_mb: float
    checkpoint: int
    """Bytes, packed."""
    unpacked: int
    objects: int
    """That Python's garbage collector knows, after a full collection."""


class Month:
    """A fold and a leader in virtual time from `begin_ms` on: `per_min` requests to each target, a plan every `plan_ms`."""

    def __init__(self, targets: int = 20, per_min: float = 1.0, begin_ms: int = START_MS, plan_ms: int = DAY_MS) -> None:
        intervals = Intervals(snapshot_ms=_PERIOD_MS)
        self._config = configuration(targets).model_copy(update={"intervals": intervals})
        self._plan_ms, self._handed_over_ms, self.now_ms = plan_ms, begin_ms + _HANDED_OVER_MS, begin_ms
        self._traffic, self._fold = Traffic(targets, per_min, begin_ms), PartitionFold(0)
        self.leader = Leader(self._config, 1, begin_ms)
        self.leader.windows.recalled()
        self._queue = EventQueue(begin_ms)
        self._log: MemoryLog | None = MemoryLog(VirtualClock(self._queue))
        self._rows: dict[bytes, bytes] = {}
        self.events = self._said = 0
        self.insights: Counter[str] = Counter()

    def advance(self, hours: float) -> None:
        """Let so much time pass."""
        for _ in range(round(hours * HOUR_MS / _PERIOD_MS)):
            self._period()

    def _period(self) -> None:
        from_ms, self.now_ms = self.now_ms, self.now_ms + _PERIOD_MS
        self._queue.advance_to(self.now_ms)
        events = self._traffic.until(self.now_ms)
        self.events += len(events)
        self._fold.apply(self._fold.offset + 1, self.now_ms, events)
        for key, value in self._fold.flush():
            self.leader.take(key, value)
            self._keep(key, value)
        for word in words(from_ms, self.now_ms):
            self._said += 1
            self.leader.hear(self._said, word)
        if target := failing(self.now_ms):
            self._said += 1
            self.leader.heed(self._said, self.now_ms, [Tripped(at_ms=self.now_ms, emitter="host", target=target, reason="errors")])
        self.leader.look(self.now_ms - _PERIOD_MS / 2)
        self._publish(self.leader.tick(self.now_ms))
        if (self.now_ms - START_MS) % self._plan_ms == 0:
            plan_at_once(self.leader, sorted(self._config.services))
        if self.now_ms == self._handed_over_ms:
            self._hand_over()

    def _keep(self, key: bytes, value: bytes | None) -> None:
        """What a successor reads: nothing once it was there."""
        self._rows.pop(key, None)
        if self._log is not None and value is not None:
            self._rows[key] = value

    def _publish(self, messages: Sequence[Message]) -> None:
        self.insights.update(message.key.split(b"/")[0].decode() for message in messages if message.topic == "insights")
        for message in messages:
            if self._log is not None and message.topic == METRICS:
                self._log.append(METRICS, message.value, key=message.key, partition=message.partition)

    def _hand_over(self) -> None:
        if self._log is None:
            return
        merge = Merge()
        for key, value in self._rows.items():
            merge.add(key, value)
        self.leader = Leader(self._config, 2, self.now_ms, merge, Checkpoint.decode(self.leader.checkpoint().value))
        for records in asyncio.run(recalled(MemoryReader(self._log), self.leader.windows.begin_ms)):
            take_over(self.leader.windows, records)
        self.leader.windows.recalled()
        self._log = None
        self._rows.clear()

    def sample(self) -> Sample:
        """What is kept now."""
        gc.collect()
        packed = self.leader.checkpoint().value
        return Sample(self.events, memory_mb(), len(packed), len(zlib.decompress(packed)), len(gc.get_objects()))

    def growing(self) -> Counter[str]:
        """What may grow: bytes of every part of the checkpoint, objects of every type."""
        found = Counter({f"objects: {kind.__module__}.{kind.__qualname__}": number for kind, number in Counter(map(type, gc.get_objects())).items()})
        state: dict[str, Any] = unpack(self.leader.checkpoint().value)
        parts = {name: state[name] for name in ("experiments", "quantiles", "advice")} | state["insights"]
        for service in state["services"].values():
            parts |= {name: service[name] for name in ("targets", "totals")} | {f"service {name}": part for name, part in service["parts"].items()}
        return found + Counter({f"bytes of the checkpoint: {name}": len(pack(part)) for name, part in parts.items()})


def flat(samples: Sequence[Sample]) -> bool:
    """Print what became of every figure from day 9 on; whether none that is judged grew."""
    grown = []
    print(f"\n{'days 9 to ' + str(len(samples)):<14}{'slope per day, 95 % interval':<36}{'largest ÷ smallest':<22}last four days ÷ first four")
    for name in ("rss_mb", "checkpoint", "unpacked", "objects"):
        values = [float(getattr(sample, name)) for sample in samples[SETTLED:]]
        growth = statistics.fmean(values[-4:]) / statistics.fmean(values[:4]) - 1.0
        slope, half = _slope(values)
        print(f"{name:<14}{f'{slope:+.4g} ± {half:.2g}':<36}{max(values) / min(values):<22.4f}{growth:+.2%}")
        grown += [name] if name != "rss_mb" and growth > MOST_GROWTH else []
    print(f"grows: {', '.join(grown)}" if grown else "flat")
    return not grown


def _slope(values: Sequence[float]) -> tuple[float, float]:
    """By least squares, and half of its interval."""
    days, n = range(len(values)), len(values)
    slope, intercept = statistics.linear_regression(days, values)
    rest = sum((value - intercept - slope * day) ** 2 for day, value in zip(days, values, strict=True))
    return slope, _T95 * math.sqrt(rest / (n - 2) / (statistics.pvariance(days) * n))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study and print it; 1 where anything grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30, help="17 or more (default: %(default)s)")
    options = parser.parse_args(argv)
    if options.days < SETTLED + 9:
        parser.error("the first eight days are not judged, and what is after them needs nine")
    month, samples, early = Month(), list[Sample](), Counter[str]()
    print(f"{'day':>4}{'events':>12}{'RSS, MB':>10}{'checkpoint, bytes':>20}{'unpacked':>12}{'objects':>10}")
    for day in range(1, options.days + 1):
        month.advance(24)
        sample = month.sample()
        samples.append(sample)
        early = month.growing() if day == SETTLED + 2 else early
        print(f"{day:>4}{sample.events:>12,}{sample.rss_mb:>10.1f}{sample.checkpoint:>20,}{sample.unpacked:>12,}{sample.objects:>10,}", flush=True)
        print(f"day {day} of {options.days}: {time.process_time():.0f} s of CPU time; said: {dict(month.insights)}", file=sys.stderr, flush=True)
    kept = flat(samples)
    if not kept:
        print("grown most since day 10:", *(f"  {name}: +{more:,}" for name, more in (month.growing() - early).most_common(10)), sep="\n")
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
