"""How long decisions of a router take: some of them are timed, so that the others cost nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from routecast.streams.clock import Clock

EVERY_MS: Final = 71.0
"""From one decision that is timed to the next: 140 in ten seconds, or all where fewer are made; no multiple or part of other periods."""
_LN_BASE: Final = math.log(1.02)

Given = ParamSpec("Given")
Decided = TypeVar("Decided")


class DecisionTimes:
    """The times since the last report, within 1 %: counts in buckets that are 2 % wide, whose number does not grow with that of the decisions.

    Several threads may time at once: what is lost then is a sample.
    """

    def __init__(self) -> None:
        self.next_ms = -math.inf
        """The first decision from then on (epoch ms) is to be timed."""
        self._counts: Counter[int] = Counter()

    def put_off(self, now_ms: float, refresh_at_ms: float) -> float:
        """One is being timed: when it is time for the next one, or for what else is due, whichever comes first."""
        self.next_ms = now_ms + EVERY_MS
        return min(refresh_at_ms, self.next_ms)

    def timed(self, clock: Clock, decide: Callable[Given, Decided], *given: Given.args, **more: Given.kwargs) -> Decided:
        """Decide, and take the time. In virtual time, which stands still meanwhile, there is nothing to count."""
        began_s = clock.monotonic_s()
        decided = decide(*given, **more)
        took_s = clock.monotonic_s() - began_s
        if took_s > 0:
            self._counts[round(math.log(took_s * 1e6) / _LN_BASE)] += 1
        return decided

    def report(self) -> tuple[float | None, float | None]:
        """Median and 99th percentile, µs, None where nothing was timed; counting begins anew."""
        counts, self._counts = self._counts, Counter()
        return _quantile(counts, 0.5), _quantile(counts, 0.99)


def _quantile(counts: Counter[int], q: float) -> float | None:
    below, wanted = 0, q * counts.total()
    for bucket, count in sorted(counts.items()):
        below += count
        if below >= wanted:
            return round(math.exp(bucket * _LN_BASE), 2)
    return None
