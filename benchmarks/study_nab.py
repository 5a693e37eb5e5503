"""The study of anomalies: `Anomaly` on the labelled real series of the Numenta benchmark, beside the windowed Gaussian, scored in the same run.

Standard profile; each method at its own best threshold, one for all series, as the benchmark does it. Nothing is set for a single series.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from nab import Floats, Series, best, labelled, windowed_gaussian

from routecast.analytics.changes.anomaly import Anomaly

_FIRST = 100


def ours(series: Series) -> Floats:
    """Nats of surprise of each value. Levels are taken in units of the first values' scatter, which changes no figure."""
    scale = float(np.std(series.values[:_FIRST])) or 1.0
    detector = Anomaly()
    return np.array([detector.update(float(t), float(x) / scale).surprise for t, x in zip(series.at_ms, series.values, strict=True)])


def main() -> None:
    """Run the study and print it."""
    series = labelled()
    if not series:
        raise SystemExit("the labelled series are missing: set ROUTECAST_TRACES to the folder in which `nab` is")
    mine, theirs = (best(series, [method(s) for s in series]) for method in (ours, windowed_gaussian))
    print("NAB score, standard profile: 0 says nothing, 100 is perfect; at the best threshold for all series together")
    print(f"  {'series':<40}{'windows':>8}{'ours':>10}{'windowed Gaussian':>20}")
    for s in series:
        print(f"  {s.name:<40}{len(s.windows):>8}{mine.of[s.name]:>10.1f}{theirs.of[s.name]:>20.1f}")
    print(f"  {'all':<40}{sum(len(s.windows) for s in series):>8}{mine.total:>10.1f}{theirs.total:>20.1f}")
    above = sum(mine.of[s.name] > theirs.of[s.name] for s in series)
    print(f"  above the baseline on {above} of {len(series)}, target ≥ 3 of 4: {'met' if above >= 3 else 'SHORT'}; threshold {mine.threshold:.2f} nats")


if __name__ == "__main__":
    main()
