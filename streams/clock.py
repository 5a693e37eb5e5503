"""Time as it is injected: the wall clock for time stamps, a monotonic one for durations."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What time it is."""

    def now_ms(self) -> float:
        """Epoch milliseconds."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now_ms(self) -> float:
        """Epoch milliseconds."""
        return time.time() * 1000.0

    def monotonic_s(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()


class FixedClock:
    """A clock that stands still until it is set: for looking at one moment."""

    def __init__(self, at_ms: float) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> float:
        """Epoch milliseconds where it stands."""
        return self.at_ms

    def monotonic_s(self) -> float:
        """The same moment in seconds."""
        return self.at_ms / 1000.0
