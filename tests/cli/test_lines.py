from __future__ import annotations

import json
from typing import Any

import pytest

from routecast.analytics.fold import PartitionFold
from routecast.cli.lines import Line, as_json, as_tabs, as_text, lines_of, meets
from routecast.models.config import Config
from routecast.models.events import Completed, Control, Started, encode_events
from routecast.streams.leadership.leader import Leader
from routecast.streams.memory import Record
from routecast.streams.operators.tailing import Tailed
from routecast.streams.topics import Topic

AT_MS = 1_700_000_000_000.0
CONFIG = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})
OK = Completed(at_ms=AT_MS, request_id="r", target="a", started_at_ms=AT_MS - 420, duration_ms=420, outcome="ok", quality=0.9)


def _lines(topic: Topic, value: bytes | None, key: bytes = b"") -> list[Line]:
    return lines_of(topic, Tailed(2, Record(17, AT_MS + 5, key, value)))


def _text(topic: Topic, value: bytes | None, key: bytes = b"") -> list[str]:
    return [as_tabs(line).replace("\t", "|") for line in _lines(topic, value, key)]


def test_words_about_policies_say_which_and_why() -> None:
    """Operators' and leaders' alike."""
    said = Control(at_ms=AT_MS, action="elect_policy", service="chat", policy="weighted", why="it is faster", emitter="w-1")
    assert _text("control", encode_events([said])) == ["2023-11-14T22:13:20.000Z|2@17|target.control|chat|elect_policy||weighted, it is faster"]


def test_events_of_a_record_are_a_line_each() -> None:
    """Time, place, type, target, outcome, duration; what is wrong says why."""
    failed = Completed(
        at_ms=AT_MS, request_id="s", target="a", started_at_ms=AT_MS, duration_ms=31, outcome="error", error_type="server_error", http_status=503
    )  # fmt: skip
    record = encode_events([Started(at_ms=AT_MS, request_id="r", target="a"), OK, failed])[:-1] + b',{"type":"marker"}]'
    assert _text("events", record) == [
        "2023-11-14T22:13:20.000Z|2@17|request.started|a|||",
        "2023-11-14T22:13:20.000Z|2@17|request.completed|a|ok|420 ms|quality 0.9",
        "2023-11-14T22:13:20.000Z|2@17|request.completed|a|error|31 ms|server_error, 503",
        '2023-11-14T22:13:20.005Z|2@17|unreadable|Object missing required field `at_ms`|{"type":"marker"}',
    ]


@pytest.mark.parametrize("topic", ["events", "panes", "state", "scores", "ticks", "deadletter", "control", "trips", "details", "metrics", "insights", "vitals"])
@pytest.mark.parametrize("value", [b"", b"\x1b[2Jgarbage\x00\xff", b"[[[[", b"\xc1" * 9, None])
def test_nothing_on_the_log_can_steer_a_terminal_or_stop_the_reader(topic: Topic, value: bytes | None) -> None:
    """Whatever it is, it becomes lines of visible characters, and JSON that can be read."""
    for line in _lines(topic, value, b"\x1b]0;title\x07"):
        assert as_text(line).isprintable()
        assert all(cell.isprintable() for cell in as_tabs(line).split("\t"))
        assert json.loads(as_json(line))["offset"] == 17


def test_rows_are_shown_with_the_names_of_their_fields() -> None:
    """Sketches by their size."""
    fold = PartitionFold(2)
    fold.apply(17, AT_MS, [OK], 0)
    rows = {key.decode(): value for key, value in fold.flush()}
    (line,) = _lines("panes", rows["pane/2/1700000000000/0"], b"pane/2/1700000000000/0")
    (target,) = line.value["targets"]
    assert (line.value["fence"], target["target"], target["ok"], target["duration"]["n"]) == (17, "a", 1, 1)
    assert target["duration"]["sketch"].endswith(" bytes")


def test_a_checkpoint_is_shown_without_the_state_of_its_services() -> None:
    """That is arrays for the next leader."""
    leader = Leader(CONFIG, 1, AT_MS)
    leader.tick(AT_MS)
    (line,) = _lines("state", leader.checkpoint().value, b"checkpoint")
    assert (line.value["term"], line.value["seq"], line.value["services"]) == (1, 1, ["chat"])
    assert json.loads(as_json(line))["value"] == line.value


def test_a_dead_letter_says_where_it_was_and_why_it_is_dead() -> None:
    """Its key holds both."""
    (line,) = _lines("deadletter", b"garbage", b"events/1/0: JSON is malformed: invalid character (byte 0)")
    assert line.value == {"place": "events/1/0", "reason": "JSON is malformed: invalid character (byte 0)", "value": "garbage"}


def test_a_tombstone_is_shown_with_its_key() -> None:
    """It has no value."""
    assert _text("panes", None, b"pane/2/0/0") == ["2023-11-14T22:13:20.005Z|2@17|pane/2/0/0|tombstone"]


@pytest.mark.parametrize(
    ("filters", "met"),
    [
        ({}, True), ({"outcome": "ok"}, True), ({"outcome": "error"}, False), ({"duration_ms": "420"}, True), ({"duration_ms": "x"}, False),
        ({"outcome": "ok", "target": "b"}, False), ({"nothing": ""}, False), ({"target.more": "a"}, False), ({"decision.policy": "greedy"}, True),
        ({"start_reported": "false"}, True), ({"decision": "greedy"}, False),
    ],
)  # fmt: skip
def test_filters_look_at_values_by_dotted_key(filters: dict[str, str], met: bool) -> None:
    """All must hold; numbers are compared as numbers."""
    value: dict[str, Any] = {"target": "a", "outcome": "ok", "duration_ms": 420.0, "start_reported": False, "decision": {"policy": "greedy"}}
    assert meets(Line("events", 0, 0, 0.0, "", value), filters) is met
