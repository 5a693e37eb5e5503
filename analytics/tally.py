"""A duration being tallied: number, sum, extremes and sketch, all of them integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from routecast.analytics.sketch import buckets_of, decode_counts, encode_counts
from routecast.models.rows import Tally


class TallyPane:
    """A duration of one target in one pane, in microseconds.

    What is new is appended to `fresh`; `settle` adds it up, for many tallies at once, which takes a third of the time.
    """

    __slots__ = ("counts", "fresh", "max_us", "min_us", "n", "sum_us")

    def __init__(self, tally: Tally | None = None) -> None:
        self.fresh: list[int] = []
        self.n = 0
        self.sum_us = 0
        self.min_us = 0
        self.max_us = 0
        self.counts: Counter[int] = Counter()
        if tally is not None and tally.n:
            self.n, self.sum_us, self.min_us, self.max_us = tally.n, tally.sum_us, tally.min_us, tally.max_us
            buckets, counts = decode_counts(tally.sketch)
            self.counts.update(dict(zip(buckets.tolist(), counts.tolist(), strict=True)))

    def add_up(self, buckets: Sequence[int]) -> None:
        """Add up what is fresh, of which there is something; `buckets` are its buckets."""
        fresh = self.fresh
        least, most = min(fresh), max(fresh)
        if not self.n or least < self.min_us:
            self.min_us = least
        self.max_us = max(self.max_us, most)
        self.n += len(fresh)
        self.sum_us += sum(fresh)
        self.counts.update(buckets)
        self.fresh = []

    def row(self) -> Tally:
        """The tally as it is written."""
        settle((self,))
        return Tally(self.n, self.sum_us, self.min_us, self.max_us, encode_counts(self.counts)) if self.n else Tally()


def settle(tallies: Iterable[TallyPane]) -> None:
    """Add up what is fresh in all of them."""
    waiting = [tally for tally in tallies if tally.fresh]
    if not waiting:
        return
    buckets = buckets_of(np.fromiter(chain.from_iterable(tally.fresh for tally in waiting), np.int64)).tolist()
    begin = 0
    for tally in waiting:
        end = begin + len(tally.fresh)
        tally.add_up(buckets[begin:end])
        begin = end
