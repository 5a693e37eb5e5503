"""`--from` and `--to`: a time, or an offset of each partition."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routecast.streams.recordings.ranges import Bound, Range

BOUND = "TIME|P:OFFSET,…"


def bound_of(text: str | None) -> Bound:
    """What was asked for: `2026-11-26T14:00`, UTC where no zone is named; epoch milliseconds; `0:1200,1:1180`. Raises ConfigError."""
    from routecast.models.errors import ConfigError  # noqa: PLC0415 - pydantic is slow to import

    if text is None:
        return None
    try:
        if text.replace(".", "", 1).isdigit():
            return float(text)
        if "-" not in text:
            return {int(partition): int(offset) for partition, offset in (pair.split(":") for pair in text.split(","))}
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no bound: give a time (2026-11-26T14:00, 2026-11-26T14:00+01:00; UTC where no zone is named), epoch milliseconds, "
            "or an offset of each partition (0:1200,1:1180)"
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000.0


def range_of(begin: str | None, end: str | None) -> Range:
    """Both of them. Raises ConfigError."""
    from routecast.streams.recordings.ranges import Range  # noqa: PLC0415 - slow to import

    return Range(bound_of(begin), bound_of(end))
