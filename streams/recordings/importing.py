"""A request log in CSV or JSON lines, as a recording that replays like any other.

Lines may stand in any order: they are sorted by their starts, in runs on disk where there are many. Memory: one run of 100,000 lines (about 100 MB),
one line of each further run, and the calls that are open at a time.
"""

from __future__ import annotations

import csv
import gzip
import heapq
import json
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, NamedTuple

import msgspec

from routecast.analytics.tables.log_cells import Row, at
from routecast.analytics.tables.request_log import Attempt, RequestLog
from routecast.models.config import Config, TargetConfig
from routecast.models.data import Imported
from routecast.models.errors import CheckFailed, ConfigError
from routecast.models.events import Completed, Event, Started, encode_events
from routecast.models.mapping import LogMapping
from routecast.streams.memory import Record
from routecast.streams.recordings.recording import RecordingWriter
from routecast.streams.topics import EVENTS, STATE

RUN_LINES: Final = 100_000
_PER_RECORD, _LINGER_MS = 100, 1000.0
_MOST_TARGETS: Final = 10_000
_LOOKED_AT: Final = 100
"""First objects among which the columns of JSON lines are looked for."""
_TOLD: Final = 1000
_SUFFIXES: Final = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}

csv.field_size_limit(1 << 24)


class _Line(NamedTuple):
    """A line that could be read: its number, and its cells by column."""

    number: int
    row: Row


class Import:
    """One log on its way into one recording.

    Args:
        log: the file; .gz is unpacked.
        mapping: what its columns mean.
        config: targets and services; made from the lines where there is none.
        tell: told how many attempts were written and when the last one ended, epoch ms.
        run_lines: lines that are sorted in memory at a time.
    """

    def __init__(
        self, log: Path, mapping: LogMapping, *, config: Config | None = None, tell: Callable[[int, float], None] = lambda *_: None, run_lines: int = RUN_LINES
    ) -> None:
        self._log = log
        self._mapping = mapping
        self._config = config
        self._tell = tell
        self._run_lines = run_lines
        self._requests = RequestLog(mapping)
        self._lines = 0
        self._seen: set[str] = set()
        self._targets: dict[str, TargetConfig] = {}

    def run(self, out: Path) -> Imported:
        """Write the recording. Raises ConfigError where log or mapping cannot be used, CheckFailed where no line could be mapped."""
        with ExitStack() as stack:
            attempts = _sorted(self._attempts(), self._run_lines, stack)
            first = next(attempts, None)
            if first is None:
                raise CheckFailed(f"no line of {str(self._log)!r} could be mapped: {self._why()}")
            writer = stack.enter_context(RecordingWriter(out, ""))
            last_ms = self._write(_chained(first, attempts), writer)
            config = self._config or Config(target=tuple(self._targets.values()))
            writer.add(STATE, 0, Record(0, last_ms, f"config/{config.version}".encode(), config.model_dump_json().encode()))
        found = self._requests
        return Imported(
            log=str(self._log), out=str(out), lines=self._lines, requests=found.requests, skipped=found.skipped, values=found.values, events=writer.events,
            first_ms=first.started.at_ms, last_ms=last_ms, targets=tuple(sorted(self._targets)), unused=tuple(sorted(self._seen - found.columns)),
            troubles=found.troubles.report(),
        )  # fmt: skip

    def _why(self) -> str:
        troubles = self._requests.troubles.report()
        if not troubles:
            return "it holds none"
        return "; ".join(f"{t.column + ' ' if t.column else ''}{t.reason} ({t.lines:,} lines, first {t.first[0]}: {t.example!r})" for t in troubles[:3])

    def _write(self, attempts: Iterator[Attempt], writer: RecordingWriter) -> float:
        """Write the events in the order of their times; when the last one happened."""
        waiting: list[Event] = []
        offset, done, last_ms = 0, 0, 0.0
        for event in _in_time(attempts):
            if waiting and (len(waiting) >= _PER_RECORD or event.at_ms > waiting[0].at_ms + _LINGER_MS):
                writer.add(EVENTS, 0, Record(offset, last_ms, b"", encode_events(waiting)))
                waiting, offset = [], offset + 1
            waiting.append(event)
            last_ms = event.at_ms
            if isinstance(event, Completed):
                done += 1
                if done % _TOLD == 0:
                    self._tell(done, last_ms)
        writer.add(EVENTS, 0, Record(offset, last_ms, b"", encode_events(waiting)))
        return last_ms

    def _attempts(self) -> Iterator[Attempt]:
        text = _text_of(self._log)
        for line in self._csv(text) if self._format() == "csv" else self._json(text):
            attempt = self._requests.attempt(line.number, line.row)
            if attempt is not None:
                self._know(attempt.started)
                yield attempt

    def _format(self) -> str:
        suffix = Path(self._log.stem if self._log.suffix == ".gz" else self._log.name).suffix
        found = self._mapping.format or _SUFFIXES.get(suffix)
        if found is None:
            raise ConfigError(f'{str(self._log)!r}: its name does not tell what it is; write format = "csv" or format = "jsonl" into the mapping')
        return found

    def _know(self, started: Started) -> None:
        if started.target in self._targets:
            return
        if len(self._targets) >= _MOST_TARGETS:
            raise ConfigError(f"fields.target: the column has more than {_MOST_TARGETS:,} values; which one names the deployment that was called?")
        self._targets[started.target] = TargetConfig(
            id=started.target, provider=started.provider or "unknown", model=started.model or "unknown", service=started.service or "unknown",
            region=started.region or None,
        )  # fmt: skip

    def _csv(self, text: Iterator[str]) -> Iterator[_Line]:
        rows = csv.reader(text, delimiter=self._mapping.delimiter)
        heads = [head.strip() for head in next(rows, [])]
        self._check(heads)
        while True:
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                self._lines += 1
                self._requests.lost(rows.line_num, f"cannot be read: {error}", "")
                continue
            self._lines += bool(cells)
            if len(cells) == len(heads):
                yield _Line(rows.line_num, dict(zip(heads, cells, strict=True)))
            elif cells:
                self._requests.lost(rows.line_num, f"has not the {len(heads)} cells of the heading", self._mapping.delimiter.join(cells))

    def _json(self, text: Iterator[str]) -> Iterator[_Line]:
        early: list[_Line] = []
        lines = self._objects(text)
        for line in lines:
            early.append(line)
            if len(early) >= _LOOKED_AT:
                break
        heads = {name: None for line in early for name in _names(line.row)}
        heads |= {column: None for column in self._requests.columns if any(at(line.row, column) is not None for line in early)}
        if early:
            self._check(list(heads))
        yield from early
        yield from lines

    def _objects(self, text: Iterator[str]) -> Iterator[_Line]:
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            self._lines += 1
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if isinstance(row, dict):
                yield _Line(number, row)
            else:
                self._requests.lost(number, "is no JSON object", line.strip())

    def _check(self, heads: list[str]) -> None:
        self._seen = set(heads)
        lacking = sorted(self._requests.columns - self._seen)
        if lacking:
            there = ", ".join(map(repr, heads)) or "none"
            raise ConfigError(f"{str(self._log)!r} has no column {', '.join(map(repr, lacking))}, which the mapping names; its columns are {there}")


def _names(row: Row, prefix: str = "") -> Iterator[str]:
    """Columns of an object, those within others by their dotted names."""
    for name, cell in row.items():
        if isinstance(cell, dict):
            yield from _names(cell, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _opened(log: Path) -> IO[str]:
    """What is no UTF-8 becomes a sign that says so."""
    try:
        if log.suffix == ".gz":
            return gzip.open(log, "rt", encoding="utf-8-sig", errors="replace", newline="")
        return log.open(encoding="utf-8-sig", errors="replace", newline="")
    except OSError as error:
        raise ConfigError(f"{str(log)!r} cannot be read: {error.strerror}") from error


def _text_of(log: Path) -> Iterator[str]:
    """The lines of a log, unpacked. Raises ConfigError where it cannot be read to its end."""
    with _opened(log) as file:
        try:
            yield from file
        except (OSError, EOFError, zlib.error) as error:
            raise ConfigError(f"{str(log)!r} cannot be read to its end ({error}): take another copy of the file") from error


def _began_ms(attempt: Attempt) -> float:
    return attempt.started.at_ms


def _sorted(attempts: Iterator[Attempt], run_lines: int, stack: ExitStack) -> Iterator[Attempt]:
    """In the order of their starts; of equal ones as they came."""
    runs: list[Iterable[Attempt]] = []
    run: list[Attempt] = []
    for attempt in attempts:
        run.append(attempt)
        if len(run) >= run_lines:
            runs.append(_spilled(sorted(run, key=_began_ms), stack))
            run = []
    return heapq.merge(*runs, sorted(run, key=_began_ms), key=_began_ms)


_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(Attempt)


def _spilled(run: list[Attempt], stack: ExitStack) -> Iterator[Attempt]:
    """A run on disk, which is gone when the stack is left."""
    file: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack is that
    for attempt in run:
        data = _pack.encode(attempt)
        file.write(len(data).to_bytes(4, "big") + data)
    file.seek(0)
    return _read_back(file)


def _read_back(file: IO[bytes]) -> Iterator[Attempt]:
    while head := file.read(4):
        yield _unpack.decode(file.read(int.from_bytes(head, "big")))


def _chained(first: Attempt, rest: Iterator[Attempt]) -> Iterator[Attempt]:
    yield first
    yield from rest


def _in_time(attempts: Iterator[Attempt]) -> Iterator[Event]:
    """Starts and ends, in the order in which they happened."""
    open_: list[tuple[float, int, Completed]] = []
    for number, (started, completed) in enumerate(attempts):
        while open_ and open_[0][0] <= started.at_ms:
            yield heapq.heappop(open_)[2]
        yield started
        heapq.heappush(open_, (completed.at_ms, number, completed))
    while open_:
        yield heapq.heappop(open_)[2]
