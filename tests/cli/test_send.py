from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from routecast.models.config import Kafka
from routecast.models.events import Completed, Marker, Started, decode_events
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.reading import reader
from routecast.streams.topics import Topic

Command = Callable[..., Any]
Run = Callable[[Coroutine[Any, Any, Any]], Any]

COMPLETED = '{"type": "request.completed", "target": "a", "outcome": "ok", "duration_ms": 420}'


@pytest.fixture
def on_log(kafka: Kafka, run: Run) -> Callable[..., list[tuple[bytes, bytes | None]]]:
    """Makes the topics; then reads keys and values of a partition."""
    run(create_topics(kafka))

    async def read(topic: Topic, partition: int) -> list[tuple[bytes, bytes | None]]:
        async with reader(kafka) as found:
            end = (await found.ends(topic, [partition]))[partition]
            return [(record.key, record.value) async for record in found.stretch(topic, partition, 0, end)]

    return lambda topic="events", partition=0: run(read(topic, partition))


def test_an_event_is_appended_and_its_place_is_told(routecast: Command, kafka: Kafka, on_log: Command) -> None:
    """With what was left out."""
    shown = routecast("send", COMPLETED, "--partition", "2", "--plain")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == f"topic\tpartition\toffset\tevents\n{kafka.prefix}events\t2\t0\t1\n"
    ((event,), _) = decode_events(on_log(partition=2)[0][1])
    assert isinstance(event, Completed)
    assert (event.target, event.duration_ms, event.at_ms - event.started_at_ms) == ("a", 420, 420)


def test_a_file_stdin_and_arguments_say_the_same(routecast: Command, on_log: Command, tmp_path: Path) -> None:
    """An object a line, an array, or one object each."""
    events = [{"type": "request.started", "request_id": "r", "target": "a"}, {"type": "marker", "title": "deployed"}]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(json.dumps(event) for event in events))
    for shown in (
        routecast("send", "--file", str(file)),
        routecast("send", said=json.dumps(events)),
        routecast("send", *(json.dumps(event) for event in events)),
    ):
        assert (shown.returncode, shown.stderr) == (0, "")
    assert [[type(event) for event in decode_events(value)[0]] for _, value in on_log()] == [[Started, Marker]] * 3


def test_nothing_is_appended_where_one_event_is_wrong(routecast: Command, on_log: Command) -> None:
    """Exit code 1 with the reason for each."""
    shown = routecast("send", COMPLETED, COMPLETED.replace('"ok"', '"good"'), '{"type": "marker"}')
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "event 2: Invalid enum value 'good' - at `$.outcome`" in shown.stderr
    assert "event 3: Object missing required field `title`" in shown.stderr
    assert on_log() == []


def test_force_appends_garbage_as_it_is(routecast: Command, on_log: Command) -> None:
    """For testing what becomes of it."""
    assert routecast("send", "--force", "garbage").returncode == 0
    assert on_log() == [(b"", b"garbage")]


def test_a_word_of_an_operator_goes_to_the_control_topic(routecast: Command, kafka: Kafka, on_log: Command) -> None:
    """Where the leader listens."""
    shown = routecast("send", '{"type": "target.control", "target": "a", "action": "drain"}', "--json")
    assert json.loads(shown.stdout)["records"] == [{"topic": f"{kafka.prefix}control", "partition": 0, "offset": 0, "events": 1}]
    assert on_log("control")[0][0] == b"a"


def test_a_target_that_is_not_configured_is_pointed_out(routecast: Command, on_log: Command) -> None:
    """It may be a slip of the pen; the event counts."""
    shown = routecast("send", COMPLETED.replace('"target": "a", ', ""), "--target", "aa")
    assert (shown.returncode, len(on_log())) == (0, 1)
    assert shown.stderr == "routecast: not in the configuration: 'aa'; the events count all the same\n"


def test_without_topics_the_command_that_makes_them_is_named(routecast: Command, kafka: Kafka) -> None:
    """Nothing is made by writing to it."""
    shown = routecast("send", COMPLETED)
    assert (shown.returncode, shown.stderr) == (1, f"routecast: topic '{kafka.prefix}events' does not exist: `routecast topics create` makes it\n")


def test_a_partition_that_does_not_exist_is_refused(routecast: Command, kafka: Kafka, on_log: Command) -> None:
    """With those that do."""
    shown = routecast("send", COMPLETED, "--partition", "4")
    assert (shown.returncode, on_log()) == (1, [])
    assert shown.stderr == f"routecast: topic '{kafka.prefix}events' has no partition 4: its partitions are 0 to 3\n"


def test_events_from_two_places_are_a_usage_error(routecast: Command, tmp_path: Path) -> None:
    """Exit code 2."""
    shown = routecast("send", COMPLETED, "--file", str(tmp_path / "events.json"))
    assert shown.returncode == 2
    assert "not both" in shown.stderr
