"""How far the time to first chunk of a target depends on where its callers are: an offset for each of their regions.

Offset = exp(mean ln t of the region) − exp(mean ln t of all regions): the way to a target adds time, it does not multiply it, and means of
logarithms do not follow the tail of the target itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from routecast.analytics.pane import MILLION
from routecast.models.rows import MOST_REGIONS, TargetTotals

_TAU_S = 3_600.0
"""Ways through the network change slowly, and a region may call seldom."""
_LEAST_N = 1e-6


class RegionOffsets:
    """Decayed times to first chunk of every target by the caller's region; at most eight regions a target."""

    STATE: ClassVar[tuple[str, ...]] = ("sums",)

    def __init__(self) -> None:
        self.sums: list[dict[str, list[float]]] = []
        """Per target and region: n and Σ ln ms."""

    def grow(self, n: int) -> None:
        """Make room for `n` targets."""
        self.sums += [{} for _ in range(n - len(self.sums))]

    def update(self, elapsed_s: float, new: Sequence[TargetTotals]) -> None:
        """Take what is new of every target since `elapsed_s` ago."""
        decay = math.exp(-elapsed_s / _TAU_S)
        for i, item in enumerate(new):
            if self.sums[i] or item.regions:
                self.sums[i] = _updated(self.sums[i], decay, item)

    def offsets_ms(self, i: int, weight: float) -> dict[str, float]:
        """Offset of each region at target `i`, ms; a region counts as `weight` requests without one. Empty where one region calls, or none."""
        sums = self.sums[i]
        if len(sums) < 2:
            return {}
        mean = sum(ln for _, ln in sums.values()) / sum(n for n, _ in sums.values())
        return {region: math.exp((ln + weight * mean) / (n + weight)) - math.exp(mean) for region, (n, ln) in sorted(sums.items())}


def _updated(sums: dict[str, list[float]], decay: float, new: TargetTotals) -> dict[str, list[float]]:
    faded = {region: [n * decay, ln * decay] for region, (n, ln) in sums.items()}
    for tally in new.regions:
        n, ln = faded.get(tally.region, (0.0, 0.0))
        faded[tally.region] = [n + tally.n, ln + tally.sum_ln / MILLION]
    kept = sorted(((region, pair) for region, pair in faded.items() if pair[0] > _LEAST_N), key=lambda item: (-item[1][0], item[0]))
    return dict(kept[:MOST_REGIONS])
