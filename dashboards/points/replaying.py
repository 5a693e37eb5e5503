"""A recording into the bucket `replay` of InfluxDB, or into a file of line protocol: what the pipeline would publish, through the sink's translation.

Every point carries a tag `run`. Points follow from recording, range and configuration alone, so that replaying twice changes nothing. Where a
replay stops, its checkpoint says up to which moment everything is stored; the next one computes the same again up to there, as fast as it
can and without storing it, and goes on. So what is stored is the same, byte for byte, however often it was interrupted.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

from routecast.dashboards.influx.connection import Connection
from routecast.dashboards.influx.line_protocol import Destination, Line, safe_tag
from routecast.dashboards.influx.writer import MOST_LINES, Writer
from routecast.dashboards.points.translation import READ, Translator
from routecast.models.config import Config
from routecast.models.errors import ConfigError
from routecast.models.replayed import ReplayPosition
from routecast.streams.clock import Clock
from routecast.streams.recordings.rerun import Rerun, Source, Step

_SAVED_S: Final = 1.0
"""Longest time between two positions, while anything happens."""
_NAME: Final = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})


class Store(Protocol):
    """Where lines go."""

    async def store(self, lines: Sequence[Line]) -> Sequence[str]:
        """Store them; why some of them cannot be."""
        ...

    @property
    def size(self) -> int:
        """Bytes so far, where that means anything."""
        ...


class Pace:
    """Waits until a moment of recorded time is due.

    Args:
        clock: monotonic.
        speed: recorded seconds a second; None: no waiting.
        stop: ends every wait.
    """

    def __init__(self, clock: Clock, speed: float | None, stop: asyncio.Event) -> None:
        self._clock, self._speed, self.stop = clock, speed, stop
        self._begun: tuple[float, float] | None = None

    async def until(self, at_ms: float) -> None:
        """The first moment is due at once, later ones as long after it as they were, divided by the speed."""
        if self._speed is None:
            return
        begun_ms, begun_s = self._begun = self._begun or (at_ms, self._clock.monotonic_s())
        left_s = (at_ms - begun_ms) / 1000.0 / self._speed - (self._clock.monotonic_s() - begun_s)
        if left_s > 0:
            try:
                await asyncio.wait_for(self.stop.wait(), left_s)
            except TimeoutError:
                return


class Told(NamedTuple):
    """What became of a replay."""

    steps: int
    lines: int
    """Stored by this one, without what was stored before it began."""
    bad: tuple[str, ...]
    finished: bool
    """Whether it came to the end; else it goes on from its checkpoint."""


class RunLines:
    """Lines of a run, moment by moment. Memory: that of the translator."""

    def __init__(self, rerun: Rerun, config: Config, run: str) -> None:
        self._steps = rerun.steps()
        self._translator = Translator(config)
        self._tag = b",run=" + safe_tag(run).translate(_NAME).encode()
        self.bad: list[str] = []
        """Why some points could not be made, with their places."""

    def steps(self) -> Iterator[tuple[Step, list[Line]]]:
        """All moments with their lines."""
        for step in self._steps:
            lines: list[Line] = []
            published = [Source(message.topic, f"{message.topic}/{step.at_ms:.0f}", message.value) for message in step.messages if message.topic in READ]
            for topic, place, value in (*step.sources, *published):
                found = self._translator.record(topic, place, value)
                lines += [self._tagged(line) for line in found.lines]
                self.bad += [f"{place}: {bad.reason}" for bad in found.bad]
            yield step, lines

    def _tagged(self, line: Line) -> Line:
        name, rest = line.text[: len(line.measurement)], line.text[len(line.measurement) :]
        return line._replace(text=name + self._tag + rest, destination=Destination("replay", line.destination.precision))


class Checkpoints:
    """Positions of a replay in a file.

    Args:
        file: where; None: nowhere.
        whose: what must be the same for a position to be of use: recording, range, configuration, run.
    """

    def __init__(self, file: Path | None, whose: dict[str, str]) -> None:
        self._file, self._whose = file, whose

    def last(self) -> ReplayPosition:
        """Where to go on; the beginning where there is no file. Raises ConfigError where the file belongs to something else."""
        if self._file is None or not self._file.exists():
            return ReplayPosition(whose=self._whose)
        found = ReplayPosition.decode(self._file.read_bytes(), str(self._file))
        differs = [name for name in self._whose if found.whose.get(name) != self._whose[name]]
        if differs:
            raise ConfigError(f"{str(self._file)!r} is the checkpoint of another replay: {', '.join(differs)} differ; give another file, or remove it")
        return found

    def save(self, position: ReplayPosition) -> None:
        """Replace the last one at once, whatever happens meanwhile."""
        if self._file is None:
            return
        beside = self._file.with_name(self._file.name + ".new")
        beside.write_text(position.model_dump_json(indent=1), encoding="utf-8")
        beside.replace(self._file)


async def play(lines: RunLines, store: Store, pace: Pace, checkpoints: Checkpoints, clock: Clock) -> Told:
    """Store the lines at their pace until the end, or until the pace is stopped; everything up to the checkpoint is stored then.

    Raises Unreachable where somebody has to mend something in InfluxDB.
    """
    position = checkpoints.last()
    waiting: list[Line] = []
    number, stored, saved_s = 0, 0, clock.monotonic_s()
    bad: list[str] = []
    for number, (step, found) in enumerate(lines.steps(), 1):
        await asyncio.sleep(0)  # a signal must be heard, also while nothing is waited for
        if number <= position.steps and not pace.stop.is_set():
            continue
        await pace.until(step.at_ms)
        if pace.stop.is_set():
            return Told(position.steps, stored, (*lines.bad, *bad), finished=False)
        waiting += found
        if len(waiting) >= MOST_LINES or clock.monotonic_s() >= saved_s + _SAVED_S:
            bad += await store.store(waiting)
            stored, waiting, saved_s = stored + len(waiting), [], clock.monotonic_s()
            position = position.model_copy(update={"steps": number, "at_ms": step.at_ms, "size": store.size})
            checkpoints.save(position)
    bad += await store.store(waiting)
    checkpoints.save(position.model_copy(update={"steps": number, "size": store.size}))
    return Told(number, stored + len(waiting), (*lines.bad, *bad), finished=True)


class LineFile:
    """A file of line protocol, in nanoseconds, as InfluxDB takes it where nothing else is said. `with` closes it.

    Args:
        path: the file; it must not exist.
        size: bytes that an earlier part has written: the file exists then, and what is behind them is written anew.

    Raises ConfigError.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        try:
            self._file = path.open("r+b" if size else "xb")
        except OSError as error:
            raise ConfigError(f"{str(path)!r} cannot be written ({error.strerror}): give another file, or the checkpoint that belongs to it") from error
        self._file.truncate(size)
        self._file.seek(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    async def store(self, lines: Sequence[Line]) -> Sequence[str]:
        """Append them."""
        for line in lines:
            self._file.write(line.text + (b"000000" if line.destination.precision == "ms" else b"") + b"\n")
        self._file.flush()
        return ()

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._file.tell()


class InfluxBucket:
    """The bucket on a server, behind the sink's writer. `with` closes the connection."""

    def __init__(self, connection: Connection, clock: Clock, rng: random.Random) -> None:
        self._connection = connection
        self._writer = Writer(connection, clock, rng)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.interrupt()  # the thread of a write that goes on would be waited for
        self._connection.close()

    async def store(self, lines: Sequence[Line]) -> Sequence[str]:
        """Store them, however long the server is away."""
        return [f"{found.line.measurement}: {found.reason}" for found in await self._writer.store(lines)]

    @property
    def size(self) -> int:
        """Nothing that could be told."""
        return 0
