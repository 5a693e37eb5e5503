"""Most requests in flight at once in any window, of targets and of the groups they are in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from routecast.analytics.windows.columns import Ints
from routecast.analytics.windows.concurrency import MINUTE_MS, Concurrency, PeakHistory
from routecast.analytics.windows.groups import Groups, Places
from routecast.models.insights import SubjectKind


class Peak(NamedTuple):
    """One window's, a row each."""

    targets: Ints
    groups: Ints


class Peaks:
    """Follows what is in flight: the kept panes exactly, older windows by their closed minutes."""

    def __init__(self) -> None:
        self._history = Peak(*(np.zeros(0, np.int64),) * 2)
        self._targets, self._groups = PeakHistory(), PeakHistory()
        self._places = Places()
        self._kept: tuple[Concurrency, Concurrency] | None = None
        self._group_places: Ints = np.zeros(0, np.int64)
        self._n = 0

    def follow(self, n: int, kept: Concurrency, groups: Groups, closed: Iterable[int]) -> None:
        """Take what the kept panes of `n` targets say now, and remember the minutes that were closed."""
        self._n, self._group_places = n, self._places.of([(subject.kind, subject.id) for subject in groups.subjects])
        self._kept = kept, groups.concurrency(kept)
        for start_ms in closed:
            peak = self.kept(start_ms, start_ms + MINUTE_MS)
            self.remember(start_ms, peak)

    def kept(self, start_ms: int, end_ms: int) -> Peak:
        """Of a window whose panes are kept."""
        if self._kept is None:
            return Peak(np.zeros(self._n, np.int64), np.zeros(len(self._group_places), np.int64))
        return Peak(*(concurrency.peak(start_ms, end_ms) for concurrency in self._kept))

    def remember(self, start_ms: int, peak: Peak) -> None:
        """Keep what was the most in the minute that starts then, of all targets by number and of the present groups."""
        self._targets.put(start_ms, peak.targets)
        groups = np.zeros(len(self._places), np.int64)
        groups[self._group_places] = peak.groups
        self._groups.put(start_ms, groups)

    def recall(self, start_ms: int, targets: Mapping[int, int], groups: Mapping[tuple[SubjectKind, str], int]) -> None:
        """Take over what was the most in a window from `start_ms` on, by number of the target and by group."""
        of_targets = np.zeros(self._n, np.int64)
        of_targets[list(targets)] = list(targets.values())
        places = self._places.of(list(groups))
        of_groups = np.zeros(len(self._places), np.int64)
        of_groups[places] = list(groups.values())
        self._targets.put(start_ms, of_targets)
        self._groups.put(start_ms, of_groups)

    def most(self, start_ms: int, closed_ms: int, end_ms: int) -> Peak:
        """Of a window of which the minutes before `closed_ms` are closed."""
        recent = self.kept(max(start_ms, closed_ms), end_ms)
        targets = self._targets.most(start_ms, min(closed_ms, end_ms), self._n)
        groups = self._groups.most(start_ms, min(closed_ms, end_ms), len(self._places))[self._group_places]
        return Peak(np.maximum(targets, recent.targets), np.maximum(groups, recent.groups))
