"""The last ten minutes of every target, a point each ten seconds: for sparklines."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from routecast.dashboards.terminal.glance import NOTHING, Glance

POINTS: Final = 60
_BARS: Final = "▁▂▃▄▅▆▇█"


class Point(NamedTuple):
    """Ten seconds of a target."""

    p95_ms: float | None
    requests_per_min: float


class History:
    """Memory: sixty points a target."""

    def __init__(self) -> None:
        self._points: dict[str, deque[Point]] = {}

    def take(self, details: Glance) -> None:
        """Add the newest ten seconds of every target in the record."""
        for target in details.targets:
            window = target.windows.get("10s", NOTHING)
            points = self._points.get(target.id)
            if points is None:
                points = self._points[target.id] = deque(maxlen=POINTS)
            points.append(Point(window.latency.p95_ms, window.requests_per_min))

    def of(self, target: str) -> Sequence[Point]:
        """The points of a target, the newest last."""
        return self._points.get(target, ())


def sparkline(values: Sequence[float | None], width: int) -> str:
    """The newest values as bars between 0 and their largest; a blank where there is none."""
    shown = values[-width:] if width > 0 else ()
    most = max((value for value in shown if value is not None), default=0.0)
    return "".join(_bar(value, most) for value in shown).rjust(max(0, width))


def _bar(value: float | None, most: float) -> str:
    if value is None:
        return " "
    return _BARS[min(len(_BARS) - 1, max(0, int(value / most * len(_BARS))))] if most > 0 else _BARS[0]
