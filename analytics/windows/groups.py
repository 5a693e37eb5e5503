"""Who is counted beside the targets: providers, services and the system, and which targets are in each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from routecast.analytics.windows.columns import Ints
from routecast.analytics.windows.concurrency import Concurrency
from routecast.analytics.windows.window import WindowStats
from routecast.models.insights import Subject, SubjectKind

SYSTEM = Subject(kind="system", id="system")


class Groups:
    """Sums over targets: first of each provider within each service, then of these.

    Args:
        targets: in the order of their figures.
    """

    def __init__(self, targets: Sequence[Subject]) -> None:
        labels = [(target.provider, target.service) for target in targets]
        pairs = sorted(set(labels), key=lambda pair: (pair[0] or "", pair[1] or ""))
        places = {pair: place for place, pair in enumerate(pairs)}
        pair_of = np.array([places[label] for label in labels], np.int64)
        self._pairs = [np.flatnonzero(pair_of == place) for place in range(len(pairs))]
        self.providers, self.services = (sorted({pair[side] or "" for pair in pairs} - {""}) for side in range(2))
        by_provider, by_service = (_members(pairs, side, names) for side, names in enumerate((self.providers, self.services)))
        self._members = [*by_provider, *by_service, np.arange(len(pairs))]
        self.subjects: tuple[Subject, ...] = (
            *(Subject(kind="provider", id=name, provider=name) for name in self.providers),
            *(Subject(kind="service", id=name, service=name) for name in self.services),
            SYSTEM,
        )

    def stats(self, stats: WindowStats) -> WindowStats:
        """Of every group, a row each."""
        return stats.grouped(self._pairs).grouped(self._members)

    def sums(self, values: Ints) -> Ints:
        """Of every group, from [targets × …] figures that add up."""
        pairs = _summed(values, self._pairs)
        return _summed(pairs, self._members)

    def concurrency(self, concurrency: Concurrency) -> Concurrency:
        """Of every group."""
        return concurrency.grouped(self._pairs).grouped(self._members)


def _members(pairs: Sequence[tuple[str | None, str | None]], side: int, names: Sequence[str]) -> list[Ints]:
    return [np.array([i for i, pair in enumerate(pairs) if pair[side] == name], np.int64) for name in names]


def _summed(values: Ints, members: Sequence[Ints]) -> Ints:
    found: Ints = np.array([values[numbers].sum(axis=0) for numbers in members], np.int64)
    return found


class Places:
    """A number for every group that ever occurred, for whoever keeps figures of them."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[SubjectKind, str], int] = {}

    def of(self, groups: Sequence[tuple[SubjectKind, str]]) -> Ints:
        """The numbers of these, by kind and id, new ones where they were never seen."""
        return np.array([self._numbers.setdefault(group, len(self._numbers)) for group in groups], np.int64)

    def __len__(self) -> int:
        return len(self._numbers)
