from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from routecast.models.config import Kafka
from routecast.models.errors import CheckFailed, ConfigError, Unreachable
from routecast.streams.brokers.access import ROLES
from routecast.streams.brokers.kafka import unreachable
from routecast.streams.clock import SystemClock
from routecast.streams.doctor.examination import Check, Finding, Skipped, Typed, examine, in_thread
from routecast.streams.doctor.machine import Installed, packages

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def _raising(error: Exception) -> Callable[[], Coroutine[Any, Any, Sequence[Finding]]]:
    async def ask() -> Sequence[Finding]:
        raise error

    return ask


async def _well() -> Sequence[Finding]:
    return [Finding("ok", "fine")]


async def _never() -> Sequence[Finding]:
    await asyncio.Event().wait()
    return []


def _refused() -> Unreachable:
    try:
        raise unreachable(Kafka(), TopicAuthorizationFailedError("x")) from TopicAuthorizationFailedError("x")
    except Unreachable as error:
        return error


def test_what_needs_a_failure_is_skipped_and_names_the_first_of_them(run: Run) -> None:
    """Whatever depends on nothing that failed is looked at all the same; a check that is not asked for is no need."""
    checks = [
        Check("a", _raising(Unreachable("it is away; start it"))), Check("b", _well, ("a",)), Check("c", _well, ("b",)), Check("d", _well),
        Check("e", _raising(Skipped("nobody uses it")), ("d",)), Check("f", _well, ("e", "elsewhere")),
    ]  # fmt: skip
    found = run(examine(checks, SystemClock()))
    assert [(item.check, item.status, item.detail) for item in found] == [
        ("a", "failed", "it is away"), ("b", "skipped", "because `a` failed"), ("c", "skipped", "because `a` failed"), ("d", "ok", "fine"),
        ("e", "skipped", "nobody uses it"), ("f", "skipped", "because `e` was skipped"),
    ]  # fmt: skip
    assert (found[0].fix, found[0].cause) == ("start it", "unreachable")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConfigError("x = 'y' cannot be used: write z"), ("failed", "x = 'y' cannot be used", "write z", "configuration")),
        (CheckFailed("it differs: mend it"), ("failed", "it differs", "mend it", "check")),
        (OSError("gone"), ("failed", "OSError: gone", "see that it is what it should be, and its log", "unreachable")),
        (KeyError("brokers"), ("failed", "KeyError: 'brokers'", "see that it is what it should be, and its log", "check")),
        (_refused(), ("skipped", "this login may not look at that ([Error 29] TopicAuthorizationFailedError: x): an operator's may", "", None)),
        (CheckFailed("plain"), ("failed", "plain", "", "check")),
    ],
)
def test_what_a_check_raises_becomes_a_finding(run: Run, error: Exception, expected: tuple[str, ...]) -> None:
    """With the advice that our errors end with; lack of rights is no failure of what was looked at."""
    found = run(examine([Check("a", _raising(error))], SystemClock()))[0]
    assert (found.status, found.detail, found.fix, found.cause) == expected


def test_nothing_hangs(run: Run) -> None:
    """Neither what waits nor what blocks a thread outlives its deadline, and those that need it do not wait again."""
    blocked = threading.Event()

    async def blocking() -> Sequence[Finding]:
        return await in_thread(lambda: [Finding("ok", str(blocked.wait(60)))])

    found = run(examine([Check("a", _never), Check("b", blocking), Check("c", _never, ("a",))], SystemClock(), 0.05))
    blocked.set()
    assert [(item.status, item.detail) for item in found] == [
        ("failed", "no answer within 0.05 s"), ("failed", "no answer within 0.05 s"), ("skipped", "because `a` failed"),
    ]  # fmt: skip
    assert found[0].took_ms >= 50
    assert (found[0].cause, found[0].fix[-10:]) == ("unreachable", "--deadline")


def test_what_a_thread_raises_is_raised(run: Run) -> None:
    """As if it had been called here."""

    def fail() -> None:
        raise ConfigError("wrong")

    with pytest.raises(ConfigError, match="wrong"):
        run(in_thread(fail))


def test_commands_are_complete_as_they_are_printed() -> None:
    """With the file and the brokers that the doctor was given, where they take them; everything else stays as it is."""
    typed = Typed("my file.toml", "kafka://k:9092")
    options = "--config 'my file.toml' --kafka kafka://k:9092"
    assert typed("routecast topics create") == f"routecast topics create {options}"
    assert typed("routecast tail deadletter -n 1  # then mend it") == f"routecast tail deadletter -n 1 {options}  # then mend it"
    assert typed("see x, or `routecast influx init --save`") == "see x, or `routecast influx init --save --config 'my file.toml'`"
    assert typed("kafka-topics.sh --delete && routecast topics create  # lost") == f"kafka-topics.sh --delete && routecast topics create {options}  # lost"
    assert typed("have the same version of routecast everywhere") == "have the same version of routecast everywhere"
    assert Typed(None, None)("routecast worker") == "routecast worker"


REQUIRES = (
    "aiokafka<1,>=0.12", 'typer>=0.29; extra == "cli"', 'faust-streaming==0.15.3; extra == "streams"', 'aiokafka==0.14.0; extra == "streams"',
    'influxdb-client<2,>=1.50; extra == "dashboards"', 'routecast[cli,streams]; extra == "all"',
)  # fmt: skip
COMPLETE = {"routecast": "0.1.0", "typer": "0.30", "aiokafka": "0.14.0", "faust-streaming": "0.15.3", "influxdb-client": "1.50.0"}


def test_a_missing_extra_is_found_and_so_is_another_version() -> None:
    """A failure for whom it concerns, a word for an operator, nothing for the others; what is installed then is right."""
    lacking = Installed(REQUIRES, {key: value for key, value in COMPLETE.items() if key != "faust-streaming"}.get)
    other = Installed(REQUIRES, (COMPLETE | {"aiokafka": "0.13.0"}).get)
    missing, differing = packages("worker", lacking)[1:], packages(None, other)[1:]
    assert missing == [Finding("failed", "the extra 'streams' is not complete: faust-streaming is missing", "pip install 'routecast[streams]'")]
    assert differing == [Finding("warning", "the extra 'streams' is not complete: aiokafka is 0.13.0, not 0.14.0", "pip install 'routecast[streams]'")]
    assert [len(packages(role, lacking)) for role in ("router", "sink", "operator")] == [1, 1, 1]
    assert {len(packages(role, Installed(REQUIRES, COMPLETE.get))) for role in (None, *ROLES)} == {1}
