"""Examining a set-up: checks that depend on each other, each with a deadline of its own, none of which can take the others along.

No check changes anything. One whose need failed is skipped and names it; what depends on nothing runs at the same time as the rest.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from aiokafka.errors import ClusterAuthorizationFailedError, GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError

from routecast.models.config import Kafka
from routecast.models.diagnosis import Cause, Checked, Status
from routecast.models.errors import ConfigError, RoutecastError, Unreachable
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.brokers.reading import PartitionReader
from routecast.streams.clock import Clock
from routecast.streams.topics import Topic

Result = TypeVar("Result")

DEADLINE_S: Final = 10.0
"""Longest time for one check, unless something else is asked for: clients give up by themselves before."""
START: Final = "routecast worker"
RIGHT_CLOCK: Final = "timedatectl set-ntp true"
_BECAUSE: Final = "because"
_NOT_ALLOWED = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
_COMMAND: Final = re.compile(r"(?:^|(?<=`)|(?<=&& ))routecast [^`#\n]*[^`#\s]", re.MULTILINE)
_GIVEN: Final = {"access", "record", "replay", "doctor", "worker", "sink", "send", "tail", "topics", "targets", "insights", "alerts", "policy"}
"""Commands that talk to Kafka, and so take `--kafka`."""


class Finding(NamedTuple):
    """What a check says of one thing."""

    status: Status
    detail: str
    fix: str = ""
    cause: Cause = "check"
    """Of a failure."""


class Skipped(Exception):  # noqa: N818 - names the outcome
    """Raised by a check that has nothing to look at; the text says why."""


class Check(NamedTuple):
    """Something to look at.

    `ask` may raise whatever our clients raise: errors of ours become failures with their own advice, refusals for lack of rights are skipped.
    """

    name: str
    ask: Callable[[], Awaitable[Sequence[Finding]]]
    needs: tuple[str, ...] = ()
    """Checks without which this one makes no sense."""


async def examine(checks: Sequence[Check], clock: Clock, deadline_s: float = DEADLINE_S) -> list[Checked]:
    """Run all checks; what they found, in their order. Takes at most the deadline times the longest chain of needs. Needs come before those who need."""
    running: dict[str, asyncio.Task[list[Checked]]] = {}
    for check in checks:
        needed = [running[name] for name in check.needs if name in running]
        running[check.name] = asyncio.create_task(_after(check, needed, clock, deadline_s))
    return [found for task in running.values() for found in await task]


async def _after(check: Check, needed: Iterable[asyncio.Task[list[Checked]]], clock: Clock, deadline_s: float) -> list[Checked]:
    for task in needed:
        bad = next((found for found in await task if found.status in {"failed", "skipped"}), None)
        if bad is not None:
            why = bad.detail if bad.detail.startswith(_BECAUSE) else f"{_BECAUSE} `{bad.check}` {'failed' if bad.status == 'failed' else 'was skipped'}"
            return [Checked(check=check.name, status="skipped", detail=why, took_ms=0.0)]
    began_s = clock.monotonic_s()
    findings = await _asked(check, deadline_s)
    took_ms = round((clock.monotonic_s() - began_s) * 1000.0, 1)
    return [
        Checked(check=check.name, status=found.status, detail=found.detail, fix=found.fix, cause=found.cause if found.status == "failed" else None,
                took_ms=took_ms)
        for found in findings
    ]  # fmt: skip


async def _asked(check: Check, deadline_s: float) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(deadline_s):
            return await check.ask()
    except Exception as error:  # noqa: BLE001 - what one check cannot cope with must not hide what the others find
        return _raised(error, deadline_s)


def _raised(error: Exception, deadline_s: float) -> list[Finding]:
    if isinstance(error, Skipped):
        return [Finding("skipped", str(error))]
    if isinstance(error, TimeoutError):
        said = Finding("failed", f"no answer within {deadline_s:g} s", "see that the server is not overloaded, or give more time: --deadline")
        return [said._replace(cause="unreachable")]
    refusal = next((one for one in (error, error.__cause__) if isinstance(one, _NOT_ALLOWED)), None)
    if refusal is not None:
        return [Finding("skipped", f"this login may not look at that ({refusal}): an operator's may")]
    if isinstance(error, RoutecastError):
        return [failure(error)]
    cause: Cause = "unreachable" if isinstance(error, KafkaError | OSError) else "check"
    return [Finding("failed", f"{type(error).__name__}: {error}", "see that it is what it should be, and its log", cause)]


def failure(error: RoutecastError) -> Finding:
    """A failure from an error of ours, whose sentence ends with what to do."""
    sentence = str(error)
    detail, mark, fix = max((sentence.rpartition(mark) for mark in ("; ", ": ")), key=lambda parts: len(parts[0]))
    cause: Cause = "configuration" if isinstance(error, ConfigError) else "unreachable" if isinstance(error, Unreachable) else "check"
    return Finding("failed", detail, fix, cause) if mark else Finding("failed", sentence, cause=cause)


async def existing(read: PartitionReader, settings: Kafka, topic: Topic) -> None:
    """Raises Skipped unless there is this topic: the check of topics says what to do."""
    if not await read.partitions(topic):
        raise Skipped(f"there is no topic {topic_name(settings, topic)!r}")


def span(seconds: float) -> str:
    """A duration in words of one unit."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


class Typed:
    """Makes advice ready to be typed: our own commands get the options that this examination was started with."""

    def __init__(self, config: str | None, kafka: str | None) -> None:
        self._config = ["--config", config] if config else []
        self._kafka = ["--kafka", kafka] if kafka else []

    def __call__(self, fix: str) -> str:
        """The advice with every command complete."""
        return _COMMAND.sub(lambda found: self._complete(found[0]), fix)

    def _complete(self, command: str) -> str:
        words = command.split()
        options = [*self._config, *(self._kafka if words[1] in _GIVEN else [])]
        return f"{command} {shlex.join(options)}" if options else command


async def in_thread(work: Callable[[], Result]) -> Result:
    """What a blocking function returns, in a thread that nobody waits for: when the deadline is over, the program may end."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Result] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            _tell(loop, answer, answer.set_exception, error)
        else:
            _tell(loop, answer, answer.set_result, result)

    threading.Thread(target=run, daemon=True).start()
    return await answer


def _tell(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Any], tell: Callable[[Any], None], what: Any) -> None:
    with suppress(RuntimeError):  # the loop is closed by then
        loop.call_soon_threadsafe(lambda: None if answer.done() else tell(what))
