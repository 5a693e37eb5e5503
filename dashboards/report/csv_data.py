"""The raw data of a report as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from routecast.models.backtest import METRICS, Backtest

Cell = str | float | int | None


def csv_files(report: Backtest) -> dict[str, str]:
    """File name → text."""
    return {
        "policies.csv": _csv(("policy", "metric", "value", "low", "high"), _figures(report)),
        "over_time.csv": _csv(("policy", "from_s", "p50_ms", "p95_ms", "p95_low_ms", "p95_high_ms"), _series(report)),
        "shares.csv": _csv(("policy", "target", "from_s", "share"), _shares(report)),
        "worst.csv": _csv(("at_s", "request", "took_ms", "best_alone_ms", "target", "reason"), _worst(report)),
    }


def _figures(report: Backtest) -> Iterable[Sequence[Cell]]:
    for policy in report.policies:
        for name in METRICS:
            if (found := getattr(policy.figures, name)) is not None:
                yield policy.name, name, found.value, found.low, found.high


def _series(report: Backtest) -> Iterable[Sequence[Cell]]:
    for policy in report.policies:
        it = policy.series
        for i, row in enumerate(zip(it.p50_ms, it.p95_ms, it.p95_low_ms, it.p95_high_ms, strict=True)):
            yield policy.name, round(i * it.step_s, 3), *row


def _shares(report: Backtest) -> Iterable[Sequence[Cell]]:
    for policy in report.policies:
        for target, values in policy.series.shares.items():
            yield from ((policy.name, target, round(i * policy.series.step_s, 3), value) for i, value in enumerate(values) if value)


def _worst(report: Backtest) -> Iterable[Sequence[Cell]]:
    for it in report.worst:
        yield it.at_s, it.request, it.took_ms, it.best_alone_ms, it.decision.target, it.decision.reason


def _csv(heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


def _harmless(cell: Cell) -> Cell:
    """A name that a spreadsheet would compute stays a name."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@"} else cell
