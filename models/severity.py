"""What alerts are about, and how severe they are: words that events and insights share."""

from __future__ import annotations

from typing import Final, Literal, get_args

AlertKind = Literal["error_rate", "response_time", "throughput", "quality"]
Severity = Literal["low", "medium", "high", "critical"]

SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""From the least to the most severe."""
