"""Names, values and times as people at a terminal read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from routecast.models.capacity import Capacity
    from routecast.models.insights import Change, Metric

_UNITS: Final = {"ms": ("{:,.0f} ms", 1.0), "ratio": ("{:.3g} %", 100.0), "per_min": ("{:,.4g}/min", 1.0), "score": ("{:.2f}", 1.0)}
_LENGTHS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))
_LATEST_MS: Final = 253_402_300_799_000.0


def line_of(text: str) -> str:
    """Without anything that could steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def about(subject_kind: str, subject_id: str) -> str:
    """A target by its id, anything else with its kind."""
    return line_of(subject_id if subject_kind == "target" else subject_kind if subject_kind == "system" else f"{subject_kind} {subject_id}")


def metric_of(metric: str) -> str:
    """As people call it."""
    return {"ttft": "time to first chunk", "tpot": "time per output token"}.get(metric, metric.replace("_", " "))


def value_of(metric: Metric, value: float | None) -> str:
    """With its unit; `-` where it is unknown."""
    from routecast.models.insights import UNITS  # noqa: PLC0415 - slow to import

    if value is None:
        return "-"
    text, factor = _UNITS.get(UNITS[metric], ("${:.3g}", 1.0))
    return text.format(value * factor)


def direction_of(change: Change) -> str:
    """Worse or better than usual; `other` for throughput, which is neither."""
    return "worse" if change.worse else "other" if change.metric == "throughput" else "better"


def fits_of(item: Capacity) -> str:
    """The load that fits with its interval."""
    if item.sustainable_per_min is None:
        return "unknown"
    low, high = (f"{bound:,.0f}" if bound is not None else "…" for bound in (item.low_per_min, item.high_per_min))
    return f"{item.sustainable_per_min:,.0f}/min ({low} to {high})"


def lasting(ms: float) -> str:
    """A duration in its largest unit of which there are nearly two, or one exactly: `90 s`, `5 min`, `1 h`."""
    seconds = max(0.0, ms) / 1000.0
    for length, unit in _LENGTHS:
        if seconds >= 1.95 * length or (seconds >= length and not seconds % length):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def time_of(at_ms: float) -> str:
    """The time of day, UTC."""
    return f"{datetime.fromtimestamp(min(max(0.0, at_ms), _LATEST_MS) / 1000.0, UTC):%H:%M:%S}"


def number(value: float | None) -> str:
    """Three digits at most; `-` where it is unknown."""
    if value is None:
        return "-"
    if abs(value) >= 10_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def percent(ratio: float | None) -> str:
    """Of a ratio, as short as it can be; `-` where it is unknown."""
    if ratio is None:
        return "-"
    value = 100.0 * ratio
    return f"{value:.0f}%" if value >= 10 or value == 0 else f"{value:.1f}%"


def duration(ms: float | None) -> str:
    """In ms below a second, in seconds above; `-` where it is unknown."""
    if ms is None:
        return "-"
    return f"{ms:.0f}ms" if ms < 999.5 else f"{ms / 1000:.2f}s" if ms < 9995 else f"{ms / 1000:.1f}s" if ms < 99_950 else f"{ms / 1000:.0f}s"
