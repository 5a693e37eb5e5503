"""What to do with a batch of lines until each is stored or known to be unstorable: the answers of InfluxDB, without any I/O.

A driver asks `step`, carries it out and reports what came of it. Delivery: every line is either stored (answered with 204, or by a 422 that
speaks of others) or among `rejected`, with the reason. Nothing is given up because a server is away: that is waited for, for ever. Lines
are points that overwrite themselves, so sending one twice does no harm.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from routecast.dashboards.influx.line_protocol import Line
from routecast.dashboards.influx.schema import RETENTION_S
from routecast.models.errors import Unreachable

FIRST_WAIT_S: Final = 0.5
MOST_WAIT_S: Final = 30.0
LONGEST_ADVICE_S: Final = 300.0
"""The longest Retry-After that is heeded."""
SUSPICIOUS: Final = 3
"""Failures (5xx) of one body in a row after which the body may be to blame, and not the server."""
_LEAST_WAIT_S: Final = 0.01
STORED: Final = 204
"""The only answer to a write that has worked."""
_DAY_MS: Final = 86_400_000
_QUOTED: Final = "unable to parse '"
_DROPPED: Final = re.compile(r"dropped=(\d+)")
_TOLD: Final = 300


class Answer(NamedTuple):
    """What came back."""

    status: int
    """0 where nothing did that could be understood."""
    message: str = ""
    """Its reason; of the connection, where there was no answer."""
    retry_after: str = ""
    """The header, as it came."""


class Rejected(NamedTuple):
    """A line that cannot be stored, and why."""

    line: Line
    reason: str


class Send(NamedTuple):
    """Write these lines."""

    lines: Sequence[Line]


class Wait(NamedTuple):
    """Do nothing for so long."""

    seconds: float


Step: TypeAlias = Send | Wait | None


class Delivery:
    """One batch for one destination.

    Args:
        lines: the batch, in the order of the log.
        witness: a line that can be stored: where it is while others are not, these are to blame and not the server.
        rng: draws waits.
        now_ms: epoch ms; tells which lines are too old for their bucket.

    `answered` raises Unreachable where somebody has to mend something.
    """

    def __init__(self, lines: Sequence[Line], witness: Line, rng: random.Random, now_ms: float) -> None:
        self.rejected: list[Rejected] = []
        self.stored = 0
        self.failures = 0
        """In a row, since something was stored; above 0 the server is away, or said to be."""
        self.witness = witness
        """Of the lines that were stored, the newest; what was given where none was."""
        self._rng = rng
        self._now_ms = now_ms
        self._todo: list[Sequence[Line]] = [lines] if lines else []
        self._suspicious = SUSPICIOUS
        self._alike = 0
        self._convicted = 0
        self._doubted = False
        self._wait_s = 0.0
        self._blame = ""

    def step(self) -> Step:
        """What to do next; None when every line is stored or rejected."""
        if self._wait_s:
            wait, self._wait_s = Wait(self._wait_s), 0.0
            return wait
        if not self._todo:
            return None
        return Send([self.witness]) if self._blame else Send(self._todo[-1])

    def answered(self, answer: Answer) -> None:
        """Take the answer to the last `Send`."""
        if self._blame:
            self._proved(answer)
        elif answer.status == STORED:
            self._done(stored=True)
        elif answer.status == 400:
            self._unreadable(answer.message)
        elif answer.status == 422:
            self._partly(answer.message)
        elif answer.status == 413:
            self._divide(f"too long for what stands between us and the server: {answer.message}")
        elif answer.status in {0, 429} or answer.status >= 500:
            self._failed(answer)
        else:
            raise Unreachable(refusal(answer.status, answer.message))

    def _done(self, *, stored: bool) -> None:
        lines = self._todo.pop()
        self._alike = self._convicted = 0
        if stored:
            self.stored += len(lines)
            self.witness = lines[-1]
            self.failures = 0

    def _reject(self, lines: Sequence[Line], reason: str) -> None:
        self.rejected += [Rejected(line, reason[:_TOLD]) for line in lines]

    def _unreadable(self, message: str) -> None:
        """Nothing of the request is stored; the lines to blame are quoted."""
        if _QUOTED not in message:
            raise Unreachable(refusal(400, message))
        lines = self._todo[-1]
        reasons = quoted(message, lines)
        if not reasons:
            self._divide(message)
            return
        self._done(stored=False)
        for line in lines:
            if line.text in reasons:
                self._reject([line], reasons[line.text])
        rest = [line for line in lines if line.text not in reasons]
        if rest:
            self._todo.append(rest)

    def _partly(self, reason: str) -> None:
        """Good lines are stored, at least so many others are not, and it is not said which."""
        lines = self._todo[-1]
        found = _DROPPED.search(reason)
        ages = [[line for line in lines if self._too_old(line) == old] for old in (True, False)]
        if (found and int(found[1]) >= len(lines)) or len(lines) == 1:
            self._done(stored=False)
            self._reject(lines, reason)
        elif all(ages):
            self._done(stored=False)
            self._todo += reversed(ages)
        else:
            self._divide(reason)

    def _too_old(self, line: Line) -> bool:
        kept_s = RETENTION_S[line.destination.bucket]
        return bool(kept_s) and line.at_ms < self._now_ms - kept_s * 1000

    def _divide(self, reason: str) -> None:
        """Send parts of the lines by themselves; a single one is to blame itself."""
        lines = self._todo[-1]
        self._done(stored=False)
        if len(lines) == 1:
            self._reject(lines, reason)
        else:
            self._todo += reversed(parts(lines))

    def _failed(self, answer: Answer) -> None:
        """The server is away, or takes this body for a reason to fail."""
        self._alike = self._alike + 1 if answer.status >= 500 and answer.status != 503 else 0
        if self._alike >= self._suspicious:
            self._blame = f"the server fails on it ({answer.status}) while it stores others: {answer.message}"
        else:
            self._wait(answer)

    def _proved(self, answer: Answer) -> None:
        """Take what became of the witness; while it is not stored either, it is what is sent."""
        if answer.status not in {STORED, 422}:  # which says that the witness has become too old, and is no failure
            self._doubted = True
            self._wait(answer)
            return
        blame, doubted = self._blame, self._doubted
        self._blame, self._doubted, self.failures, self._alike, self._suspicious = "", False, 0, 0, 1
        if not doubted:
            self._convict(blame)

    def _convict(self, blame: str) -> None:
        """Lines that fail while the server stores others: many are divided, one is rejected the third time, since servers that come back stumble."""
        self._convicted += 1
        if len(self._todo[-1]) > 1 or self._convicted >= SUSPICIOUS:
            self._divide(blame)

    def _wait(self, answer: Answer) -> None:
        most_s = min(MOST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self.failures, 10))
        self.failures += 1
        self._wait_s = max(self._rng.uniform(0.0, most_s), advised_s(answer.retry_after), _LEAST_WAIT_S)


def advised_s(header: str) -> float:
    """Seconds of a Retry-After header, at most five minutes; 0 where it gives none (InfluxDB gives no dates)."""
    return min(float(header), LONGEST_ADVICE_S) if header.strip().isdigit() else 0.0


def quoted(message: str, lines: Sequence[Line]) -> Mapping[bytes, str]:
    """Of these lines, those that the answer quotes as unreadable, and why."""
    known = {line.text for line in lines}
    found: dict[bytes, str] = {}
    for part in message.split(_QUOTED)[1:]:
        for end in _ends(part):
            text = part[:end].encode()
            if text in known:
                found[text] = part[end + 3 :].strip()
                break
    return found


def _ends(part: str) -> Iterator[int]:
    place = part.find("': ")
    while place >= 0:
        yield place
        place = part.find("': ", place + 1)


def parts(lines: Sequence[Line]) -> list[Sequence[Line]]:
    """By measurement, else by day, else by half: lines of one measurement and one shard conflict together."""
    for sort in (lambda line: line.measurement, lambda line: str(line.at_ms // _DAY_MS)):
        groups: dict[str, list[Line]] = {}
        for line in lines:
            groups.setdefault(sort(line), []).append(line)
        if len(groups) > 1:
            return list(groups.values())
    half = len(lines) // 2
    return [lines[:half], lines[half:]]


def refusal(status: int, message: str) -> str:
    """What to tell a person whom the server sends away."""
    advice = {
        400: "check influx.organisation",
        401: "the token is not known there: check the file of influx.token_file, or make one with `routecast influx init`",
        403: "the token may not write there: make one that may with `routecast influx init`",
        404: "organisation or bucket do not exist: `routecast influx init` makes them",
    }.get(status, "check that influx.url is the address of an InfluxDB 2 and of nothing else")
    return f"InfluxDB refuses to store ({status}: {message[:_TOLD] or 'no reason given'}): {advice}"
