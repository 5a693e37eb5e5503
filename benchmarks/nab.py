"""The score of the Numenta Anomaly Benchmark, standard profile, implemented from its description, and the windowed-Gaussian baseline.

Source: A. Lavin, S. Ahmad, "Evaluating Real-time Anomaly Detection Algorithms - the Numenta Anomaly Benchmark", ICMLA 2015. The first detection in
a window earns up to 1, the more the earlier it is; one outside costs up to 0.11, the more the further behind a window it comes; a window without any
costs 1. The first 15 % of a series, at most 750 points, are for learning. One threshold serves all series, the one with the best total. 0 is the score of
a detector that says nothing, 100 that of one that names each window at its beginning and nothing else.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FALSE_COST = 0.11
_PROBATION, _MOST_PROBATION = 0.15, 750
_WINDOW, _STEP = 6_400, 100
_FLAT_SD = 1e-6


class Series(NamedTuple):
    """A labelled series."""

    name: str
    at_ms: Floats
    values: Floats
    windows: tuple[tuple[int, int], ...]
    """First and last point of each anomaly."""

    @property
    def probation(self) -> int:
        """Points that are for learning."""
        return min(int(_PROBATION * len(self.values)), _MOST_PROBATION)


def labelled() -> list[Series]:
    """The labelled series in the folder `nab` of the traces; none where ROUTECAST_TRACES does not lead to it."""
    folder = Path(os.environ.get("ROUTECAST_TRACES", "")) / "nab"
    if not (folder / "combined_windows.json").is_file():
        return []
    windows = {Path(name).name: spans for name, spans in json.loads((folder / "combined_windows.json").read_text()).items()}
    return [_series(path, windows[path.name]) for path in sorted(folder.glob("*.csv"))]


def _series(path: Path, spans: Iterable[tuple[str, str]]) -> Series:
    with path.open(newline="") as file:
        rows = [(_ms(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    at_ms, values = np.array(rows).T
    windows = tuple((int(np.searchsorted(at_ms, _ms(a))), int(np.searchsorted(at_ms, _ms(b), "right")) - 1) for a, b in spans)
    return Series(path.stem, at_ms, values, windows)


def _ms(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000.0


def _sigmoid(position: float) -> float:
    """1 well before the end of a window, 0 at it, -1 from three of its lengths behind it on."""
    return -1.0 if position > 3.0 else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def worth(series: Series) -> Floats:
    """What a detection at each point is worth: in a window positive, of which the best one counts; outside negative."""
    points = np.full(len(series.values), -FALSE_COST)
    for first, last in series.windows:
        length = last - first + 1
        for i in range(last + 1, len(points)):
            points[i] = FALSE_COST * _sigmoid((i - last) / max(1, length - 1))
        for i in range(first, last + 1):
            points[i] = _sigmoid(-(last - i + 1) / length) / _sigmoid(-1.0)
    return points


def score(series: Series, detected: NDArray[np.bool_]) -> float:
    """The score of these detections, 0 to 100 from saying nothing to perfection."""
    points, said = worth(series), detected.copy()
    said[: series.probation] = False
    outside = said.copy()
    raw = 0.0
    for first, last in series.windows:
        within = said[first : last + 1]
        outside[first : last + 1] = False
        raw += float(points[first : last + 1][within].max()) if within.any() else -1.0
    raw += float(points[outside].sum())
    count = len(series.windows)
    return 100.0 * (raw + count) / (2.0 * count)


class Scored(NamedTuple):
    """A detector on all series, at its best threshold."""

    threshold: float
    of: dict[str, float]
    total: float


def best(series: Sequence[Series], scores: Sequence[Floats]) -> Scored:
    """The threshold with the best total, and what each series scores at it. Windows weigh alike, so series weigh by their windows."""
    weights = np.array([len(s.windows) for s in series], float)
    candidates = np.unique(np.concatenate([np.quantile(each, np.linspace(0.8, 1.0, 801)) for each in scores]))

    def at(threshold: float) -> list[float]:
        return [score(s, each >= threshold) for s, each in zip(series, scores, strict=True)]

    threshold = max(candidates.tolist(), key=lambda t: float(np.dot(weights, at(t))))
    found = at(threshold)
    return Scored(threshold, {s.name: f for s, f in zip(series, found, strict=True)}, float(np.dot(weights, found) / weights.sum()))


def windowed_gaussian(series: Series) -> Floats:
    """1 - the tail probability of each point under the mean and deviation of the last 6,400, renewed every 100: the benchmark's own baseline."""
    window, step, scores = list[float](), list[float](), list[float]()
    mean, sd = 0.0, _FLAT_SD
    for x in series.values.tolist():
        scores.append(1.0 - 0.5 * math.erfc(abs(x - mean) / sd / math.sqrt(2.0)) if window else 0.0)
        if len(window) < _WINDOW:
            window.append(x)
        else:
            step.append(x)
            if len(step) < _STEP:
                continue
            window, step = [*window[_STEP:], *step], []
        mean, sd = float(np.mean(window)), float(np.std(window)) or _FLAT_SD
    return np.array(scores)
