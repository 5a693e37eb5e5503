"""Counts of events over windows from a minute to three days: rings of slots, exact integers, the same size for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.alerts.rules import DAY_MS, HOUR_MS, KINDS, MINUTE_MS
from routecast.analytics.windows.period import Period

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PARTS: Final = 1000
"""Bad events are counted in thousandths: a judgement may be bad in part."""


class Ring(NamedTuple):
    """Slots of one length."""

    slot_ms: int
    slots: int
    first: int
    """Place of its first slot among all."""


RINGS: Final = (Ring(10_000, 7, 0), Ring(MINUTE_MS, 6, 7), Ring(5 * MINUTE_MS, 13, 13), Ring(30 * MINUTE_MS, 13, 26), Ring(3 * HOUR_MS, 25, 39))
_SLOTS = RINGS[-1].first + RINGS[-1].slots
WINDOWS: Final = {
    MINUTE_MS: RINGS[0],
    5 * MINUTE_MS: RINGS[1],
    30 * MINUTE_MS: RINGS[2],
    HOUR_MS: RINGS[2],
    2 * HOUR_MS: RINGS[3],
    6 * HOUR_MS: RINGS[3],
    DAY_MS: RINGS[4],
    3 * DAY_MS: RINGS[4],
}
"""Window and the ring it is summed from. A window begins with a full slot: it is up to one slot longer than its name says."""
_DURATION_MS = 2 * len(KINDS)
_COLUMNS = _DURATION_MS + 1


class Sums(NamedTuple):
    """What happened in a window, by kind; [subjects × kinds]."""

    n: Floats
    """Events."""
    bad: Floats
    duration_ms: Floats
    """[subjects] Σ of the events of kind `response_time`."""


class Counts:
    """Rings of subjects, a row each; advanced only by periods. 4.6 kB a subject, a quarter of it when packed."""

    STATE: ClassVar[tuple[str, ...]] = ("_counts", "_end_ms")

    def __init__(self) -> None:
        self._counts: Ints = np.zeros((0, _SLOTS, _COLUMNS), np.int64)
        self._end_ms = 0.0

    def grow(self, n: int) -> None:
        """Make room for `n` subjects."""
        if n > len(self._counts):
            self._counts = np.pad(self._counts, ((0, n - len(self._counts)), (0, 0), (0, 0)))

    def update(self, period: Period, minutes: Floats, quiet: Floats) -> None:
        """Take a period that ends after the last one, `minutes` that usually have traffic, and those of them that were `quiet`.

        Everything counts for the slots in which the period ends.
        """
        n = len(period.subjects)
        ns = (period.judged, period.duration_n, minutes, period.quality_n)
        bad = (period.failed, period.slow, quiet, period.quality_n - period.quality_sum)
        new = np.stack([*ns, *(PARTS * amount for amount in bad), period.duration_ms], axis=1)
        self._open(period.end_ms)
        for ring in RINGS:
            self._counts[:n, ring.first + int((period.end_ms - 1.0) // ring.slot_ms) % ring.slots] += np.rint(new).astype(np.int64)

    def window(self, length_ms: int) -> Sums:
        """Sums of the window that ends with the last period."""
        found = self._counts[:, self._places(length_ms)].sum(axis=1).astype(float)
        return Sums(found[:, : len(KINDS)], found[:, len(KINDS) : _DURATION_MS] / PARTS, found[:, _DURATION_MS])

    def forgive(self, subject: int, kind: int, within: Sequence[int]) -> None:
        """Forget what was bad in the last hours, as far as slots of up to half an hour know it, also of those `within` whom it happened.

        Slots of three hours keep it. Of response times what was not bad is forgotten too: the mean does not tell them apart.
        """
        columns = [len(KINDS) + kind, *((kind, _DURATION_MS) if kind == KINDS.index("response_time") else ())]
        recent = np.s_[: RINGS[-1].first, columns]
        forgiven = self._counts[subject][recent].copy()
        self._counts[subject][recent] = 0
        for place in within:
            self._counts[place][recent] = np.maximum(0, self._counts[place][recent] - forgiven)

    def _places(self, length_ms: int) -> list[int]:
        ring = WINDOWS[length_ms]
        last = int((self._end_ms - 1.0) // ring.slot_ms)
        first = int((self._end_ms - length_ms) // ring.slot_ms)
        return [ring.first + slot % ring.slots for slot in range(max(first, last - ring.slots + 1), last + 1)]

    def _open(self, end_ms: float) -> None:
        """Empty the slots that begin between the last period and this one."""
        for ring in RINGS:
            before, now = (int((at_ms - 1.0) // ring.slot_ms) for at_ms in (self._end_ms, end_ms))
            for slot in range(max(before + 1, now - ring.slots + 1), now + 1):
                self._counts[:, ring.first + slot % ring.slots] = 0
        self._end_ms = end_ms
