"""How fast a recording plays in a thread: at a speed, or standing still."""

from __future__ import annotations

import threading

from routecast.models.errors import ConfigError
from routecast.streams.clock import Clock


class Pace:
    """Recorded time against the clock. The first moment is due at once, later ones as long after it as they were, divided by the speed.

    Args:
        clock: monotonic.
        speed: recorded seconds a second, > 0; None: no waiting.

    Raises ConfigError for a speed that is none. Safe to use from several threads: every change is felt by whoever waits.
    """

    def __init__(self, clock: Clock, speed: float | None) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._speed = _sound(speed)
        self._paused = self._stopped = False
        self._begun: tuple[float, float] | None = None
        """A moment of recorded time, epoch ms, and when it was due."""

    @property
    def speed(self) -> float | None:
        """Recorded seconds a second; None: as fast as possible."""
        return self._speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        with self._changed:
            self._hold()
            self._speed = _sound(speed)
            self._changed.notify_all()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def pause(self) -> None:
        """Let nothing become due until `resume`."""
        with self._changed:
            self._hold()
            self._paused = True

    def resume(self) -> None:
        """Go on from where it stood."""
        with self._changed:
            self._hold()
            self._paused = False
            self._changed.notify_all()

    def stop(self) -> None:
        """End every wait, for good."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def until(self, at_ms: float) -> bool:
        """Wait until a moment of recorded time (epoch ms) is due; False where it never will be because it was stopped."""
        with self._changed:
            self._begun = self._begun or (at_ms, self._clock.monotonic_s())
            while not self._stopped:
                left_s = self._left_s(at_ms)
                if left_s is not None and left_s <= 0.0:
                    if self._speed is None:
                        self._begun = at_ms, self._clock.monotonic_s()
                    return True
                self._changed.wait(left_s)
            return False

    def _left_s(self, at_ms: float) -> float | None:
        if self._paused or self._begun is None:
            return None
        begun_ms, begun_s = self._begun
        return 0.0 if self._speed is None else (at_ms - begun_ms) / 1000.0 / self._speed - (self._clock.monotonic_s() - begun_s)

    def _hold(self) -> None:
        """Count from now on: from where recorded time is."""
        if self._begun is not None:
            (begun_ms, begun_s), now_s = self._begun, self._clock.monotonic_s()
            passed_ms = 0.0 if self._paused or self._speed is None else (now_s - begun_s) * 1000.0 * self._speed
            self._begun = begun_ms + passed_ms, now_s


def _sound(speed: float | None) -> float | None:
    if speed is not None and not 0.0 < speed < float("inf"):
        raise ConfigError(f"speed {speed!r}: give recorded seconds a second above 0, or None for as fast as possible")
    return speed
