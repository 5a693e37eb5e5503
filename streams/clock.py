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
