"""A whole leader at a thousand targets: CPU time of a tick, a look, the rows, and of full garbage collections, Python's own and a worker's.

Four folds of the same process make the rows, as in a worker that owns all partitions; a tick comes every second, rows twice as often.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

import core

from routecast.analytics.fold import PartitionFold
from routecast.models.events import Event
from routecast.streams.clock import SystemClock
from routecast.streams.garbage import Garbage
from routecast.streams.leadership.leader import Leader

_TARGETS, _PER_SECOND, _PARTITIONS = 1000, 1000.0, 4
_PANES, _WARM = 15, 3
_START_MS = int(core.START_MS) // 3_600_000 * 3_600_000


class _Worker:
    """Folds and a leader in virtual time."""

    def __init__(self, quiet: Callable[[], None], collections: _Collections) -> None:
        self._folds = [PartitionFold(partition) for partition in range(_PARTITIONS)]
        self._leader = Leader(core.configuration(_TARGETS), 1, _START_MS)
        self._quiet, self._collections = quiet, collections
        self.events = self.waited = 0
        """Waited: for so many full collections."""
        self.ms: dict[str, list[float]] = {"fold and flush": [], "take rows": [], "look": [], "tick": []}

    def pane(self, number: int) -> None:
        """Ten seconds of traffic."""
        start_ms = _START_MS + number * 10_000
        events = core.traffic(_TARGETS, int(_PER_SECOND * 10), _PER_SECOND, start_ms)
        for half in range(1, 21):
            now_ms = start_ms + half * 500
            batch = [event for event in events if now_ms - 500 <= event.at_ms < now_ms or (half == 20 and event.at_ms >= now_ms)]
            self.events += len(batch)
            self._timed("fold and flush", partial(self._fold, now_ms, batch))
            self._timed("take rows", self._take)
            if half % 2:
                self._timed("look", partial(self._leader.look, now_ms))
            else:
                self._timed("tick", partial(self._leader.tick, now_ms))
                self._quiet()

    def _fold(self, now_ms: float, batch: list[Event]) -> None:
        for fold in self._folds:
            fold.apply(fold.offset + 1, now_ms, batch[fold.partition :: _PARTITIONS])
        self._rows = [record for fold in self._folds for record in fold.flush()]

    def _take(self) -> None:
        for key, value in self._rows:
            self._leader.take(key, value)

    def _timed(self, name: str, work: Callable[[], object]) -> None:
        began, before = time.process_time(), len(self._collections.ms)
        work()
        self.ms[name].append((time.process_time() - began) * 1000)
        self.waited += len(self._collections.ms) - before


class _Collections:
    """How long full ones took."""

    def __init__(self) -> None:
        self.ms: list[float] = []
        self._began = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] == 2 and phase == "start":
            self._began = time.process_time()
        elif info["generation"] == 2:
            self.ms.append((time.process_time() - self._began) * 1000)

    def close(self) -> None:
        """Watch no more."""
        gc.callbacks.remove(self._note)


def rows() -> list[core.Row]:
    """First as Python does by itself, then as a worker does: a minute of processor time each."""
    found = _measured("Python's own collections", lambda: None)
    with collected_as_in_a_worker() as quiet:
        return [*found, *_measured("a worker's", quiet)]


@contextmanager
def collected_as_in_a_worker() -> Generator[Callable[[], None]]:
    """Collect garbage when a worker does; gives what is to be called when nothing is due."""
    usual = gc.get_threshold()
    garbage = Garbage(SystemClock())
    garbage.settle()
    try:
        yield garbage.quiet
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)


def _measured(label: str, quiet: Callable[[], None]) -> list[core.Row]:
    collections = _Collections()
    worker = _Worker(quiet, collections)
    for number in range(_WARM):
        worker.pane(number)
    warm = {name: len(times) for name, times in worker.ms.items()}
    before, worker.waited = worker.events, 0
    collections.ms.clear()
    for number in range(_WARM, _PANES):
        worker.pane(number)
    collections.close()
    times = {name: sorted(every[warm[name] :]) for name, every in worker.ms.items()}
    events = worker.events - before
    full = f"{len(collections.ms)}, most {max(collections.ms, default=0.0):.0f} ms; while work was due: {worker.waited}"
    return [
        core.Row(f"leader's tick, {_TARGETS:,} targets, {_PER_SECOND:,.0f} requests/s, {label}", _spread(times["tick"]), "< 100 ms"),
        core.Row(f"full garbage collections meanwhile, {label}", full, "0 while work is due"),
        *(core.Row(f"  {name}", f"{_spread(every)}; {sum(every) * 1000 / events:.1f} µs an event", "") for name, every in times.items()),
    ]


def _spread(ranked: list[float]) -> str:
    return f"p50 {ranked[len(ranked) // 2]:.0f}, p90 {ranked[int(len(ranked) * 0.9)]:.0f}, most {ranked[-1]:.0f} ms"
