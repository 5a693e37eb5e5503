"""Changes of the time to first chunk and of the time per output token, found once a period: neither depends on how long answers are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Final

import numpy as np

from routecast.analytics.changes.change_record import change_of
from routecast.analytics.changes.cusum import Floats
from routecast.analytics.changes.episodes import Episode
from routecast.analytics.changes.levels import Levels, Seen
from routecast.analytics.checkpoint import Stateful
from routecast.analytics.windows.period import Period
from routecast.models.insights import Change, Metric

_LN_SD, _LEAST_LN_SD = 0.84, 0.1
_METRICS: Final[tuple[Metric, Metric]] = ("ttft", "tpot")


class StreamedChanges:
    """Of all targets that stream, of all services. A state machine without a clock, 4 kB a target."""

    STATE: ClassVar[tuple[str, ...]] = ("_born_ms",)

    def __init__(self) -> None:
        self._born_ms = 0.0
        self._series = {metric: Levels(sd=_LN_SD, least_sd=_LEAST_LN_SD) for metric in _METRICS}

    @property
    def parts(self) -> Mapping[str, Stateful]:
        """What makes up its state."""
        own: dict[str, Stateful] = {"streamed": self}
        return own | {f"{name}_{part}": state for name, levels in self._series.items() for part, state in levels.parts.items()}

    def grow(self, n: int) -> None:
        """Make room for `n` subjects."""
        for levels in self._series.values():
            levels.grow(n)

    def update(self, period: Period) -> list[Change]:
        """Take a period; changes that are new, or of which there is something new."""
        self._born_ms = self._born_ms or period.end_ms
        self.grow(len(period.subjects))
        return [change for metric in _METRICS for change in self._found(metric, period)]

    def _found(self, metric: Metric, period: Period) -> list[Change]:
        levels = self._series[metric]
        n, ln, ln2 = (np.broadcast_to(getattr(period, f"{metric}_{name}"), len(period.subjects)).astype(float) for name in ("n", "ln", "ln2"))
        n = n * np.array([subject.kind == "target" for subject in period.subjects], float)
        expected = levels.expected(period.end_ms)
        deviation = ln - n * expected
        squares = np.maximum(0.0, ln2 - 2.0 * expected * ln + n * expected**2)
        within = np.maximum(0.0, ln2 - ln**2 / np.maximum(n, 1.0)) / np.maximum(n, 1.0)
        seen = Seen(n, (ln * (n > 0.0))[:, None], np.where(n > 0.0, deviation, 0.0), np.where(n > 0.0, squares, 0.0), np.sqrt(within) / levels.sd)
        episodes = levels.update(period.end_ms, (period.end_ms - period.start_ms) / 1000.0, seen)
        return [self._change(metric, episode, period, levels.sd) for episode in episodes]

    def _change(self, metric: Metric, episode: Episode, period: Period, sd: Floats) -> Change:
        return change_of(metric, period.subjects[episode.series], episode, partial(_ms, float(sd[episode.series])), self._born_ms)


def _ms(sd: float, ln: float) -> float:
    """Mean of a lognormal."""
    return math.exp(ln + sd**2 / 2.0)
