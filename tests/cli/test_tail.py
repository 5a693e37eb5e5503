from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from routecast.models.config import Config
from routecast.streams.brokers.admin import create_topics
from routecast.streams.operators.sending import RawRecord, append

Command = Callable[..., Any]
Run = Callable[[Coroutine[Any, Any, Any]], Any]

EVENTS = b"""[
 {"type": "request.started", "at_ms": 1700000000000, "request_id": "r", "target": "a"},
 {"type": "request.completed", "at_ms": 1700000000420, "request_id": "r", "target": "a", "outcome": "ok", "started_at_ms": 1700000000000, "duration_ms": 420}
]"""


@pytest.fixture
def write(config: Config, run: Run) -> Callable[..., None]:
    """Makes the topics; then appends values to the events."""
    run(create_topics(config.kafka))

    def to_events(*values: bytes, partition: int = 0) -> None:
        run(append(config, [RawRecord("events", b"", value) for value in values], partition))

    return to_events


@pytest.fixture
def follow(command_line: Callable[..., list[str]], environ: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `tail`; it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = command_line("tail", *arguments)
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_events_are_shown_a_line_each(routecast: Command, write: Command) -> None:
    """Time, place, type, target, outcome, duration."""
    write(EVENTS)
    shown = routecast("tail", "--from", "beginning", "-n", "2")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == (
        "2023-11-14T22:13:20.000Z  0@0  request.started    a\n"
        "2023-11-14T22:13:20.420Z  0@0  request.completed  a                         ok               420 ms\n"
    )


def test_json_is_a_document_a_line_and_filters_choose_among_them(routecast: Command, write: Command) -> None:
    """With where it was and when it was appended."""
    write(EVENTS, partition=3)
    shown = routecast("tail", "events", "--from", "5-back", "-n", "1", "--json", "--filter", "target=a", "--filter", "outcome=ok")
    (document,) = [json.loads(line) for line in shown.stdout.splitlines()]
    assert (document["topic"], document["partition"], document["offset"], document["value"]["duration_ms"]) == ("events", 3, 0, 420)


def test_raw_is_the_bytes_on_the_log(routecast: Command, write: Command) -> None:
    """Whatever they are."""
    write(b"garbage", EVENTS)
    assert routecast("tail", "--from", "0", "--partition", "0", "-n", "2", "--raw").stdout == f"garbage\n{EVENTS.decode()}\n"


def test_what_was_tailed_raw_can_be_sent(routecast: Command, write: Command) -> None:
    """A fleet's traffic, or a part of it, again."""
    write(b"".join(EVENTS.splitlines()))
    again = routecast("send", "--partition", "1", "--json", said=routecast("tail", "--from", "beginning", "-n", "1", "--raw").stdout)
    assert json.loads(again.stdout)["records"][0]["events"] == 2


def test_records_are_followed_as_they_come_until_interrupted(follow: Command, write: Command) -> None:
    """Ctrl-C is how it ends: exit code 0, and nothing on stderr."""
    process = follow("--from", "beginning", "--plain")
    for i in range(2):
        write(b'{"type": "marker", "at_ms": 1, "title": "%d"}' % i)
        assert process.stdout.readline().split("\t")[2:4] == ["marker", str(i)]
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0


def test_a_reader_that_goes_away_ends_it(follow: Command, write: Command) -> None:
    """Also while nothing comes: exit code 0, and nothing on stderr."""
    write(EVENTS)
    process = follow("--from", "beginning")
    process.stdout.readline()
    process.stdout.close()
    assert (process.stderr.read(), process.wait(20)) == ("", 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("evnts",), "no topic 'evnts'; did you mean 'events'?"),
        (("--from", "yesterday"), "give beginning, end, N-back"),
        (("--filter", "outcome"), "give KEY=VALUE"),
        (("--raw", "--json"), "--raw prints values as they are"),
    ],
)
def test_a_slip_of_the_pen_is_a_usage_error(routecast: Command, arguments: tuple[str, ...], said: str) -> None:
    """Exit code 2 with what would be right; no broker is asked."""
    shown = routecast("tail", *arguments)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert said in shown.stderr


def test_brokers_that_are_not_there_are_one_sentence(routecast: Command) -> None:
    """Exit code 4."""
    shown = routecast("tail", "--kafka", "kafka://127.0.0.1:1")
    assert (shown.returncode, shown.stdout, shown.stderr.count("\n")) == (4, "", 1)
