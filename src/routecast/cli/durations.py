"""Times as people say them: how long ago, and for how long."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))
_SECONDS: Final = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|min|h|d)")


def lasting(ms: float) -> str:
    """A duration in its largest unit of which there are nearly two, or one exactly: `90 s`, `5 min`, `1 h`."""
    seconds = max(0.0, ms) / 1000.0
    for length, unit in _UNITS:
        if seconds >= 1.95 * length or (seconds >= length and not seconds % length):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def seconds_of(text: str) -> float:
    """Of `90s`, `30m`, `30min`, `2h`, `1.5d`. Raises ValueError for anything else."""
    found = _DURATION.fullmatch(text.strip().replace(" ", ""))
    if found is None:
        raise ValueError(f"{text!r} is no duration: give one such as 30m, 2h or 1d")
    return float(found[1]) * _SECONDS[found[2]]
