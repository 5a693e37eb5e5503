"""The demonstration as a film for the terminal view: a fleet in virtual time on recorded traffic, made as it is watched, that can be told things."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Generator
from functools import partial
from typing import Final

from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.trial import Simulation, run
from routecast.dashboards.terminal.player import Film
from routecast.dashboards.terminal.source import Frame, Heard
from routecast.demo.comparison import POLICIES, START_MS, FleetPolicy
from routecast.demo.demonstration import OUTAGE, Scene, scene
from routecast.models.events import Control, encode_events
from routecast.routed import RouterPolicy
from routecast.streams.memory import MemoryLog
from routecast.streams.topics import CONTROL, DETAILS, INSIGHTS, SCORES, TICKS, TRIPS, Topic
from routecast.testing import Fleet

DURATION_S: Final = 420.0
MOMENT_S: Final = (OUTAGE.begins + OUTAGE.ends) / 2 * DURATION_S
"""When something is wrong that can be seen at once."""
MOMENT: Final = f"{OUTAGE.run}, {OUTAGE.label}"
_FRAME_MS: Final = 500.0
_SHOWN: Final[tuple[Topic, ...]] = (CONTROL, TRIPS, TICKS, SCORES, DETAILS, INSIGHTS)


def demo_film(seed: int = 1, duration_s: float = DURATION_S) -> Film:
    """The demonstration of this seed; a storm, an outage, a slow-down and a partial failure come one after the other."""
    stage, words = scene(seed, duration_s), deque[Control]()
    first_ms, last_ms = START_MS, START_MS + duration_s * 1000.0
    return Film("demonstration", stage.config(), partial(_frames, stage, seed, words), first_ms, last_ms, partial(_say, words))


def _say(words: deque[Control], word: Control) -> str:
    words.append(word)
    return f"told to {word.action}: {word.target}; the next snapshot shows it"


def _frames(stage: Scene, seed: int, words: deque[Control]) -> Generator[Frame]:
    """A frame each half second of virtual time; the simulation runs in a thread of its own, one frame ahead."""
    words.clear()
    making = _Making(stage, seed, words)
    try:
        while (frame := making.next()) is not None:
            yield frame
    finally:
        making.stop()


class _Stopped(Exception):  # noqa: N818 - no error: nobody watches any more
    pass


class _Making:
    """Runs the simulation as far as somebody watches."""

    def __init__(self, stage: Scene, seed: int, words: deque[Control]) -> None:
        self._stage, self._seed, self._words = stage, seed, words
        self._made: queue.Queue[Frame | BaseException | None] = queue.Queue(1)
        self._wanted = True
        self._next_ms = START_MS
        self._fleet: Fleet | None = None
        self._read: dict[Topic, int] = {}
        self._thread = threading.Thread(target=self._run, name="routecast-demo", daemon=True)
        self._thread.start()

    def next(self) -> Frame | None:
        """The next frame; None after the last one. Raises what the simulation raised."""
        made = self._made.get()
        if isinstance(made, BaseException):
            raise made
        return made

    def stop(self) -> None:
        """Make no more."""
        self._wanted = False
        while self._thread.is_alive():
            try:
                self._made.get(timeout=0.01)
            except queue.Empty:
                self._thread.join(0.01)

    def _run(self) -> None:
        try:
            run(self._stage.world, self._build, seed=self._seed, make=self._stage.make, queue=EventQueue(START_MS, pace=self._pace))
            self._made.put(None)
        except _Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - whoever watches is told
            self._made.put(error)

    def _build(self, simulation: Simulation) -> RouterPolicy:
        made = FleetPolicy(simulation, self._stage, POLICIES[0], self._seed, None, ())
        self._fleet = made.fleet
        return made.routed

    def _pace(self, at_ms: float) -> None:
        """Called before everything that happens in virtual time."""
        fleet = self._fleet
        if at_ms < self._next_ms or fleet is None:
            return
        if not self._wanted:
            raise _Stopped
        self._next_ms = at_ms + _FRAME_MS
        while self._words:
            word = self._words.popleft()
            offset = fleet.pipeline.log.append(CONTROL, encode_events([word]), key=word.key.encode())
            fleet.pipeline.leader.hear(offset, word)
        self._made.put(Frame(fleet.now_ms, self._new(fleet.pipeline.log)))

    def _new(self, log: MemoryLog) -> list[Heard]:
        found: list[Heard] = []
        for topic in _SHOWN:
            records = log.read(topic, 0, self._read.get(topic, 0))
            if records:
                self._read[topic] = records[-1].offset + 1
            found += [Heard(topic, record) for record in records]
        return found
