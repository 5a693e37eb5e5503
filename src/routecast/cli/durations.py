"""Durations as people write them."""

from __future__ import annotations

import re
from typing import Final

_SECONDS: Final = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|min|h|d)")


def seconds_of(text: str) -> float:
    """Of `90s`, `30m`, `30min`, `2h`, `1.5d`. Raises ValueError for anything else."""
    found = _DURATION.fullmatch(text.strip().replace(" ", ""))
    if found is None:
        raise ValueError(f"{text!r} is no duration: give one such as 30m, 2h or 1d")
    return float(found[1]) * _SECONDS[found[2]]
