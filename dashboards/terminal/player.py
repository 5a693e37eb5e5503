"""Plays a film of frames: at any speed, step by step, forwards and back."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from typing import Final, NamedTuple

from routecast.dashboards.terminal.source import Frame
from routecast.models.config import Config
from routecast.models.errors import RoutecastError
from routecast.models.events import Control
from routecast.streams.clock import Clock

SPEEDS: Final = (0.5, 1.0, 2.0, 4.0, 10.0, 30.0, 100.0)


class Film(NamedTuple):
    """What can be played, again and again."""

    name: str
    config: Config
    open: Callable[[], Generator[Frame]]
    """The frames from the beginning; they may take time to be made, so they are made in a thread."""
    first_ms: float
    last_ms: float
    say: Callable[[Control], str]
    """Takes an operator's word; raises RoutecastError where nobody can."""

    def place(self, at_ms: float) -> str:
        """A moment of it, for people."""
        return f"{_minutes(at_ms - self.first_ms)} of {_minutes(self.last_ms - self.first_ms)}"


def unheard(word: Control) -> str:
    """What a recording answers to an operator."""
    raise RoutecastError(f"{word.action} {word.target}: this is a recording, what is over cannot be changed; run `routecast top` on the live brokers")


class Player:
    """A film against the clock.

    Args:
        film: what to play.
        clock: of this machine.
        speed: seconds of the film in a second.
        from_ms: where to begin, ms after the film's beginning.
    """

    def __init__(self, film: Film, clock: Clock, *, speed: float = 1.0, from_ms: float = 0.0) -> None:
        self.name, self.config = film.name, film.config
        self._film, self._clock = film, clock
        self.speed, self.paused, self.ended = speed, False, False
        self._goal_ms = film.first_ms + from_ms if from_ms > 0 else -math.inf
        self._at_ms = film.first_ms
        self._since_s = clock.monotonic_s()
        self._due_ms: float | None = None
        """Of the frame that waits for its time; None while it is being made, which stops the film's clock."""
        self._steps = 0
        self._rewind = False
        self._changed = asyncio.Event()

    def now_ms(self) -> float:
        """Where it is."""
        if self.paused or self._due_ms is None:
            return self._at_ms
        return min(self._due_ms, self._at_ms + max(0.0, self._clock.monotonic_s() - self._since_s) * 1000.0 * self.speed)

    @property
    def position(self) -> str:
        """Speed and place, for people."""
        return f"{'ended' if self.ended else 'seeking' if self._seeking else 'paused' if self.paused else f'×{self.speed:g}'} {self._film.place(self.now_ms())}"

    def pause(self) -> None:
        """Stand still, or go on."""
        self._stand(self.now_ms())
        self.paused = not self.paused

    def step(self) -> None:
        """The next frame, standing still."""
        self._stand(self.now_ms())
        self.paused = True
        self._steps += 1

    def faster(self, by: int) -> None:
        """The next of the usual speeds, or with -1 the one before."""
        self._stand(self.now_ms())
        near = min(range(len(SPEEDS)), key=lambda i: abs(SPEEDS[i] - self.speed))
        self.speed = SPEEDS[min(len(SPEEDS) - 1, max(0, near + by))]

    def seek(self, by_ms: float) -> None:
        """Forwards, or back: then the film is made again from its beginning. Several in a row add up."""
        from_ms = self._goal_ms if self._seeking else self.now_ms()
        self._goal_ms = min(max(from_ms + by_ms, self._film.first_ms), self._film.last_ms)
        self._rewind = self._rewind or self._goal_ms < self.now_ms() or (self.ended and by_ms < 0)
        self._changed.set()

    @property
    def _seeking(self) -> bool:
        return self._goal_ms > -math.inf

    def _stand(self, at_ms: float) -> None:
        """Reckon from here and now on."""
        self._at_ms, self._since_s = at_ms, self._clock.monotonic_s()
        self._changed.set()

    async def frames(self) -> AsyncGenerator[Frame]:
        """The frames when it is their time; after the last one it waits for a seek."""
        while True:
            self._rewind = self.ended = False
            film, fresh, self._at_ms = self._film.open(), True, self._film.first_ms
            try:
                while not self._rewind and (frame := await _made(film)) is not None:
                    await self._wait(frame.at_ms)
                    if not self._rewind:
                        yield frame._replace(fresh=fresh)
                        fresh = False
            except RoutecastError as error:
                self.ended = True
                yield Frame(self._at_ms, (), str(error))
            finally:
                await asyncio.to_thread(film.close)
            if not self._rewind:
                self.ended, self._goal_ms = True, -math.inf
            while not self._rewind:
                self._changed.clear()
                await self._changed.wait()

    async def _wait(self, at_ms: float) -> None:
        """Until this moment of the film, at once where it lies before the goal of a seek."""
        if self._seeking and at_ms > self._goal_ms:
            self._at_ms, self._since_s, self._goal_ms = self._goal_ms, self._clock.monotonic_s(), -math.inf
        self._due_ms = at_ms
        while not (self._rewind or self._seeking or self._steps) and at_ms > self.now_ms():
            left_s = None if self.paused else (at_ms - self.now_ms()) / 1000.0 / self.speed
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left_s)
        self._due_ms, self._steps = None, max(0, self._steps - 1)
        if not self._rewind:
            self._at_ms, self._since_s = at_ms, self._clock.monotonic_s()

    async def say(self, word: Control) -> str:
        """Hand a word to the film."""
        return self._film.say(word)


async def _made(film: Generator[Frame]) -> Frame | None:
    """The next frame, from a thread; where nobody waits any more, the thread is waited for all the same: it must not be left with the film."""
    making = asyncio.ensure_future(asyncio.to_thread(next, film, None))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        await making
        raise


def _minutes(ms: float) -> str:
    seconds = round(max(0.0, ms) / 1000.0)
    return f"{seconds // 60:02}:{seconds % 60:02}"
