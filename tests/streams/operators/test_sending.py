from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.models.errors import DecodeError
from routecast.models.events import Completed, decode_events
from routecast.streams.operators.sending import RawRecord, checked, completed, parse

NOW_MS = 1_700_000_000_000.0
MARKER = {"type": "marker", "at_ms": 1, "title": "deployed"}


def _completed(value: object, **common: str) -> Any:
    return completed(value, NOW_MS, random.Random(1), common)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a": 1}', [{"a": 1}]),
        ('[{"a": 1}, {"b": 2}]', [{"a": 1}, {"b": 2}]),
        ('{"a": 1}\n\n{"b": 2}\n', [{"a": 1}, {"b": 2}]),
        ('{\n "a": 1\n}', [{"a": 1}]),
        ('[{"a": 1}]\n[{"b": 2}, 3]\n', [{"a": 1}, {"b": 2}, 3]),
        ("[]", []),
        (" \n", []),
    ],
)
def test_objects_and_arrays_alone_or_one_a_line_are_read(text: str, values: list[object]) -> None:
    """However it is laid out."""
    assert parse(text.encode()) == values


@pytest.mark.parametrize(("text", "said"), [("{", "not JSON"), ('{"a": 1}\n{"b\n[', r"line 2 is not JSON.*\nline 3 is not JSON")])
def test_text_that_is_no_json_is_refused_with_every_wrong_line(text: str, said: str) -> None:
    """One look mends them all."""
    with pytest.raises(DecodeError, match=said):
        parse(text.encode())


@given(st.binary())
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    """Never another error."""
    try:
        parse(text)
    except DecodeError:
        return


def test_what_is_missing_and_plain_is_filled_in() -> None:
    """Now, an id, and when it started; a completion with an id of ours has no reported start."""
    value = _completed({"type": "request.completed", "outcome": "ok", "duration_ms": 420}, target="a", service="")
    ((event,), bad) = decode_events(json.dumps(value).encode())
    assert isinstance(event, Completed)
    assert (event.at_ms, event.started_at_ms, event.target, event.start_reported, bad) == (NOW_MS, NOW_MS - 420, "a", False, [])
    assert event.request_id.startswith("hand-")


def test_what_is_given_stays() -> None:
    """Nothing is overwritten, not even what is wrong."""
    given_value = {"type": "request.completed", "at_ms": 5, "request_id": "r", "target": "b", "started_at_ms": "x", "outcome": "ok", "duration_ms": 1}
    assert _completed(given_value, target="a") == given_value
    assert _completed(17) == 17


def test_every_wrong_event_is_named_with_its_reason() -> None:
    """Its place in the input, the field, and what it was."""
    with pytest.raises(DecodeError) as error:
        checked([MARKER, {"type": "marker", "at_ms": 1}, 3, [MARKER]])
    assert str(error.value).splitlines() == [
        'event 2: Object missing required field `title`: {"type":"marker","at_ms":1}',
        "event 3: Expected `object`, got `int`: 3",
        'event 4: an array inside an array: [{"type":"marker","at_ms":1,"title":"deployed"}]',
    ]


def test_no_events_are_no_success() -> None:
    """An empty input is a mistake further up."""
    with pytest.raises(DecodeError, match="no events"):
        checked([])


def test_events_of_one_topic_share_records_no_larger_than_an_emitters() -> None:
    """In the order in which they were given."""
    records = checked([MARKER | {"title": str(i)} for i in range(1200)])
    assert [record.events for record in records] == [500, 500, 200]
    assert [event["title"] for record in records for event in json.loads(record.value)] == [str(i) for i in range(1200)]
    large = checked([MARKER | {"text": "x" * 9_000}] * 200)
    assert max(len(record.value) for record in large) < 1_000_000
    assert sum(record.events for record in large) == 200


def test_words_of_operators_and_trips_go_to_their_own_topics() -> None:
    """Each word a record of its own, its key the target: the newest counts."""
    control = {"type": "target.control", "at_ms": 1, "target": "a", "action": "drain"}
    records = checked([control, control, {"type": "target.tripped", "at_ms": 1, "target": "a"}, MARKER])
    assert [(record.topic, record.key, record.events) for record in records] == [
        ("control", b"a", 1), ("control", b"a", 1), ("trips", b"", 1), ("events", b"", 1),
    ]  # fmt: skip


def test_unknown_fields_stay_in_what_is_appended() -> None:
    """Readers ignore them; people who look at the log may want them."""
    assert checked([MARKER | {"build": 7}]) == [RawRecord("events", b"", b'[{"type":"marker","at_ms":1,"title":"deployed","build":7}]', 1)]
