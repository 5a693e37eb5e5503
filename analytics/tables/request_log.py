"""Lines of a plain request log as attempts, by a mapping, and an account of everything that could not be mapped."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from routecast.analytics.routing.verdict import of_status
from routecast.analytics.tables.log_cells import Row, at, readers
from routecast.models.attempts import Verdict
from routecast.models.data import Trouble
from routecast.models.events import Completed, Outcome, Started
from routecast.models.mapping import FieldName, LogMapping

_FIRST: Final = 5
_SHOWN: Final = 100
_NEEDED: Final[frozenset[FieldName]] = frozenset({"target", "outcome"})
_GIVEN_UP: Final = 499
"""What proxies log where the caller went away."""


class Attempt(NamedTuple):
    """A line: a call, from start to end."""

    started: Started
    completed: Completed


class Troubles:
    """Counts what could not be mapped, by column and reason. Memory: one entry for each."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[list[int], str]] = {}
        self._lines: dict[tuple[str, str], int] = {}

    def note(self, line: int, column: str, reason: str, cell: object) -> None:
        """A line, or one value of it, that had to be left out."""
        key = column, reason
        first, _ = self._found.setdefault(key, ([], str(cell)[:_SHOWN]))
        self._lines[key] = self._lines.get(key, 0) + 1
        if len(first) < _FIRST:
            first.append(line)

    def report(self) -> tuple[Trouble, ...]:
        """All of it, the most frequent first."""
        ordered = sorted(self._lines.items(), key=lambda item: (-item[1], item[0]))
        return tuple(
            Trouble(column=key[0], reason=key[1], lines=lines, first=tuple(self._found[key][0]), example=self._found[key][1]) for key, lines in ordered
        )


class RequestLog:
    """Maps lines one by one. A line without target, time or outcome is left out; of others only the values that are wrong.

    Raises ConfigError where the mapping names what does not exist.
    """

    def __init__(self, mapping: LogMapping) -> None:
        self._fields = mapping.fields
        self._readers = readers(mapping)
        self.troubles = Troubles()
        self.requests = self.skipped = self.values = 0

    @property
    def columns(self) -> frozenset[str]:
        """Columns that the mapping names."""
        return frozenset(said.column for said in self._fields.values() if said.column is not None)

    def attempt(self, line: int, row: Row) -> Attempt | None:
        """The attempt of a line with this number; None where it is none."""
        found: dict[str, Any] = {}
        wrong = 0
        for name, read in self._readers.items():
            try:
                found[name] = read(row)
            except ValueError as error:
                column = self._fields[name].column or ""
                self.troubles.note(line, column, str(error), at(row, column) if column else self._fields[name].value)
                if name in _NEEDED:
                    self.skipped += 1
                    return None
                wrong += 1
        made = self._made(line, found)
        if made is not None:
            self.requests += 1
            self.values += wrong
        return made

    def lost(self, line: int, reason: str, text: object) -> None:
        """Note a line that could not even be read."""
        self.troubles.note(line, "", reason, text)
        self.skipped += 1

    def _made(self, line: int, found: dict[str, Any]) -> Attempt | None:
        times = _times(found.get("started_at"), found.get("ended_at"), found.get("duration"))
        status: int | None = found.get("http_status")
        verdict = None if status is None else _verdict(status)
        outcome: Outcome | None = found.get("outcome") or (verdict.outcome if verdict else None)
        if found.get("target") is None or times is None or outcome is None:
            missing = "target" if found.get("target") is None else "time" if times is None else "outcome"
            self.lost(line, f"no {missing}", "")
            return None
        started_ms, duration_ms = times
        if not 0 <= duration_ms <= _LONGEST_MS:
            self.lost(line, "ends before it begins, or more than a day later", f"{duration_ms:.0f} ms")
            return None
        labels = {name: found.get(name) or "" for name in ("provider", "model", "service", "region", "caller_region", "emitter")}
        common: dict[str, Any] = {"request_id": found.get("request_id") or f"{line}", "target": found["target"], "attempt": found.get("attempt") or 1, **labels}
        started = Started(
            at_ms=started_ms, **common, deadline_ms=found.get("deadline"), input_tokens=found.get("input_tokens"),
            max_output_tokens=found.get("max_output_tokens"), urgency=found.get("urgency") or "medium",
        )  # fmt: skip
        error_type = found.get("error_type") or (verdict.error_type if verdict and verdict.outcome == outcome else "")
        completed = Completed(
            at_ms=started_ms + duration_ms, **common, started_at_ms=started_ms, duration_ms=duration_ms, outcome=outcome, ttft_ms=found.get("ttft"),
            error_type=error_type, http_status=status, retry_after_ms=found.get("retry_after"), input_tokens=found.get("input_tokens"),
            output_tokens=found.get("output_tokens"), cost_usd=found.get("cost_usd"), quality=found.get("quality"), satisfaction=found.get("satisfaction"),
        )  # fmt: skip
        return Attempt(started, completed)


_LONGEST_MS: Final = 864e5


def _times(started_ms: float | None, ended_ms: float | None, duration_ms: float | None) -> tuple[float, float] | None:
    """Start and duration from any two of them."""
    if duration_ms is None:
        return None if started_ms is None or ended_ms is None else (started_ms, ended_ms - started_ms)
    if started_ms is None:
        return None if ended_ms is None else (ended_ms - duration_ms, duration_ms)
    return started_ms, duration_ms


def _verdict(status: int) -> Verdict:
    return Verdict("cancelled") if status == _GIVEN_UP else of_status(status) if status >= 400 else Verdict("ok")
