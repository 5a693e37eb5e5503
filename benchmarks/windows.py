"""What windows cost: an update, the most a tick waits for them, records and bytes, and the memory of a day."""

from __future__ import annotations

import gc
import pickle
import statistics
import time
from collections.abc import Iterator
from typing import Self

import core
import msgspec.structs

from routecast.analytics.fold import PartitionFold
from routecast.analytics.merge import Merge
from routecast.models.metrics import CLOSED_WINDOWS
from routecast.models.rows import KEPT_MS, PaneRow, TotalsRow, decode_row, encode_row, pane_key, totals_key
from routecast.streams.leadership.windows import Windows
from routecast.streams.topics import DETAILS, METRICS

_PARTITIONS = 4
_PANE_MS = 10_000
_START_MS = int(core.START_MS) // 3_600_000 * 3_600_000


def rows() -> list[core.Row]:
    """Costs at 20 and 1,000 targets, and the memory of 25 hours."""
    return [*_costs(20, 200.0), *_costs(1000, 1000.0), *_memory(5)]


def _costs(n_targets: int, per_second: float) -> list[core.Row]:
    """Twelve minutes of traffic, a tick a second."""
    merge, windows = Merge(), Windows(core.configuration(n_targets), _START_MS, Merge())
    folds = [PartitionFold(partition) for partition in range(_PARTITIONS)]
    watch = _Watch()
    for _ in windows.publish(_START_MS + _PANE_MS, 1, 0):
        pass
    updates, ticks, details, records = list[float](), list[float](), list[int](), {window: list[int]() for window in CLOSED_WINDOWS}
    for pane in range(72):
        events = core.traffic(n_targets, int(per_second * 10), per_second, _START_MS + pane * _PANE_MS)
        end_ms = _START_MS + (pane + 1) * _PANE_MS
        for fold in folds:
            fold.apply(fold.offset + 1, end_ms, events[fold.partition :: _PARTITIONS])
            for key, value in fold.flush():
                merge.add(key, value)
        merge.expire(end_ms - KEPT_MS)
        totals = merge.target_totals()
        with watch as spent:
            windows.update(end_ms + 1000, merge, totals)
        updates.append(spent.ms)
        for second in range(1, 11):
            with watch as spent:
                published = list(windows.publish(end_ms + second * 1000, 1, pane * 10 + second))
            ticks.append(spent.ms)
            details += [len(value) for topic, _, value, _ in published if topic == DETAILS]
            for topic, _, value, partition in published:
                if topic == METRICS:
                    records[CLOSED_WINDOWS[partition]].append(len(value))
    a_minute = {window: len(sizes) / 12 for window, sizes in records.items()}
    return [
        core.Row(f"windows, {n_targets} targets, {per_second:.0f}/s: update every 10 s", _spread_of(updates, "ms"), "< 100 ms"),
        core.Row(f"windows, {n_targets} targets: what a tick waits for them", _spread_of(ticks, "ms"), "< 100 ms"),
        core.Row(f"windows, {n_targets} targets: together", f"{(sum(updates) + sum(ticks)) / 7200:.2f} % of a core"),
        core.Row(f"full garbage collections meanwhile, {n_targets} targets", f"{len(watch.collections)}, max {max(watch.collections, default=0.0):.0f} ms"),
        core.Row(f"details, {n_targets} targets", f"{statistics.median(details) / 1000:.0f} kB, {len(details)} in 72 intervals"),
        *(
            core.Row(f"closed windows of {window}, {n_targets} targets", f"{statistics.mean(sizes):.0f} bytes, {a_minute[window]:.0f} records a minute")
            for window, sizes in records.items() if sizes
        ),
    ]  # fmt: skip


class _Watch:
    """Time of this process, full garbage collections apart: they come at any moment, and take as long as the whole process has objects."""

    def __init__(self) -> None:
        self.ms = 0.0
        self.collections: list[float] = []
        self._began = self._collecting = self._collected = 0.0
        gc.callbacks.append(self._on_collection)

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] == 2 and phase == "start":
            self._collecting = time.process_time()
        elif info["generation"] == 2:
            self.collections.append((time.process_time() - self._collecting) * 1000)
            self._collected += self.collections[-1]

    def __enter__(self) -> Self:
        self._collected, self._began = 0.0, time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.ms = (time.process_time() - self._began) * 1000 - self._collected


def _spread_of(values: list[float], unit: str) -> str:
    ranked = sorted(values)
    return f"p50 {ranked[len(ranked) // 2]:.1f}, p99 {ranked[int(len(ranked) * 0.99)]:.1f}, max {ranked[-1]:.1f} {unit}"


def _memory(n_targets: int) -> list[core.Row]:
    """Ten requests a second and target on four partitions; the rows of ten minutes come again and again, an update a minute."""
    merge, windows = Merge(), Windows(core.configuration(n_targets), _START_MS, Merge())
    recorded = [_Recorded(partition, n_targets) for partition in range(_PARTITIONS)]
    sizes: list[float] = []
    for pane in range(25 * 360):
        at_ms = _START_MS + pane * _PANE_MS
        for again in recorded:
            for key, value in again(at_ms, pane):
                merge.add(key, value)
        if pane % 6 == 5:
            merge.expire(at_ms + _PANE_MS - KEPT_MS)
            windows.update(at_ms + _PANE_MS + 1000, merge)
            for _ in windows.publish(at_ms + _PANE_MS + 1000, 1, pane + 1):
                pass
        if (pane + 1) % (360 * 5) == 0:
            sizes.append(len(pickle.dumps(windows.builder.history)) / n_targets / 1000)
    return [core.Row("windows: memory a target at 10/s, after 5, 10, … 25 h", ", ".join(f"{size:.0f}" for size in sizes) + " kB", "flat after a day")]


class _Recorded:
    """Rows of one partition, recorded once for ten minutes, with other times."""

    def __init__(self, partition: int, n_targets: int) -> None:
        self._panes: list[PaneRow] = []
        fold = PartitionFold(partition)
        for pane in range(60):
            events = core.traffic(n_targets, n_targets * 25, n_targets * 2.5, _START_MS + pane * _PANE_MS)
            fold.apply(pane, _START_MS + (pane + 1) * _PANE_MS, events)
        rows = [decode_row(key, value) for key, value in fold.flush() if value]
        self._panes = [row for row in rows if isinstance(row, PaneRow)][:60]
        self._totals = next(row for row in rows if isinstance(row, TotalsRow))

    def __call__(self, at_ms: int, offset: int) -> Iterator[tuple[bytes, bytes]]:
        row = msgspec.structs.replace(self._panes[offset % 60], pane_ms=at_ms, fence=offset)
        yield pane_key(row.partition, at_ms, row.chunk), encode_row(row)
        yield totals_key(row.partition, 0), encode_row(msgspec.structs.replace(self._totals, fence=offset))
