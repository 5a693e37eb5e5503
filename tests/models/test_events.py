from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.models.events import (
    Completed,
    Control,
    DecisionCount,
    DecisionRef,
    Event,
    Feedback,
    Limits,
    Marker,
    Resources,
    RouterStats,
    Started,
    Tripped,
    decode_events,
    encode_events,
    mended,
)

REF = DecisionRef(policy="performance", snapshot=(3, 17), propensity=0.25, candidates="ff", forced="urgent", arm="b")
EVERY: list[Event] = [
    Started(
        at_ms=1.5, emitter="e", request_id="r", target="t", attempt=2, provider="p", model="m", service="s", region="eu", caller_region="us",
        deadline_ms=900, stream=True, input_tokens=5, max_output_tokens=7, urgency="high", decision=REF,
    ),
    Completed(
        at_ms=2, request_id="r", target="t", started_at_ms=1, duration_ms=1, outcome="error", start_reported=False, ttft_ms=0.5, error_type="server",
        http_status=500, retry_after_ms=10, input_tokens=5, output_tokens=6, cost_usd=0.1, quality=0.5, satisfaction=1,
        limits=Limits(remaining_requests=1, remaining_tokens=2, reset_ms=3), decision=REF,
    ),
    Feedback(at_ms=3, request_id="r", target="t", completed_at_ms=2, quality=0.5, satisfaction=0.25),
    Resources(at_ms=3, target="t", cpu=0.5, memory=0.5, network_ms=3, queue_depth=4, capacity=5),
    RouterStats(at_ms=3, emitter="e", services=("s",), decisions=(DecisionCount(service="s", policy="p", count=3, outcome="ok"),), queue=1, dropped=2),
    Tripped(at_ms=3, target="t", state="closed", reason="why"),
    Control(at_ms=3, target="t", action="set_weight", weight=2.0),
    Marker(at_ms=3, title="deployed", text="v2"),
]  # fmt: skip
TAGS = ["request.started", "request.completed", "request.feedback", "target.resources", "router.stats", "target.tripped", "target.control", "marker"]


def test_every_type_is_read_as_it_was_written() -> None:
    """An array of all eight types survives the wire, under the names of the contract."""
    record = encode_events(EVERY)
    assert decode_events(record) == (EVERY, [])
    assert [item["type"] for item in json.loads(record)] == TAGS


def test_one_object_needs_no_array() -> None:
    """A record may hold an object alone; white space around it is nothing."""
    for event in EVERY:
        record = encode_events([event])[1:-1]
        assert decode_events(record) == decode_events(b" \n" + record + b" ") == ([event], [])


def test_unknown_fields_are_ignored() -> None:
    """Emitters may be newer than the fold."""
    record = encode_events([EVERY[2]]).replace(b'{"type"', b'{"colour":[{"x":1}],"type"')
    assert decode_events(record) == ([EVERY[2]], [])


def test_times_may_be_integers_or_floats() -> None:
    """Both are the same moment."""
    (whole, fraction), bad = decode_events(b'[{"type":"marker","at_ms":17,"title":"x"},{"type":"marker","at_ms":17.0,"title":"x"}]')
    assert (whole, bad) == (fraction, [])


BOUNDS: list[tuple[str, list[Any], list[Any]]] = [
    ("at_ms", [0, 1e14], [-1, 1.1e14, None, "1", True]),
    ("request_id", ["r", "r" * 256], ["", "r" * 257, 5, None]),
    ("target", ["t", "t" * 256], ["", "t" * 257, 5]),
    ("provider", ["", "p" * 256], ["p" * 257, None]),
    ("error_type", ["", "e" * 256], ["e" * 257]),
    ("attempt", [1, 1000], [0, 1001, 1.5]),
    ("started_at_ms", [0], [-1]),
    ("duration_ms", [0, 864e5], [-0.1, 864e5 + 1]),
    ("outcome", ["ok", "error", "timeout", "rate_limited", "cancelled"], ["lost", "", None]),
    ("ttft_ms", [None, 0], [-1]),
    ("http_status", [None, 100, 599], [99, 600]),
    ("output_tokens", [None, 0, 100_000_000], [-1, 100_000_001, 1.5]),
    ("cost_usd", [0, 1e6], [-0.01, 1e6 + 1]),
    ("quality", [0, 1], [-0.01, 1.01]),
    ("satisfaction", [0, 1], [-0.01, 1.01]),
    ("decision", [{"policy": "p", "snapshot": [0, 0], "propensity": 1}], [{"policy": "p", "snapshot": [0, 0], "propensity": 0}, {"policy": "p"}]),
]


@pytest.mark.parametrize(("field", "allowed", "refused"), BOUNDS, ids=[name for name, _, _ in BOUNDS])
def test_fields_are_checked_when_they_are_read(field: str, allowed: list[Any], refused: list[Any]) -> None:
    """The bounds themselves are allowed, what lies beyond is bad and the reason names the field."""
    plain = {"type": "request.completed", "at_ms": 1, "request_id": "r", "target": "t", "started_at_ms": 1, "duration_ms": 1, "outcome": "ok"}
    for value in allowed:
        assert decode_events(json.dumps([plain | {field: value}]).encode())[1] == []
    for value in refused:
        good, (bad,) = decode_events(json.dumps([plain | {field: value}]).encode())
        assert good == []
        assert f"$.{field}" in bad.reason


@pytest.mark.parametrize("field", ["request_id", "target", "started_at_ms", "duration_ms", "outcome", "at_ms", "type"])
def test_a_completion_needs_these_fields(field: str) -> None:
    """The reason names what is missing."""
    plain = {"type": "request.completed", "at_ms": 1, "request_id": "r", "target": "t", "started_at_ms": 1, "duration_ms": 1, "outcome": "ok"}
    del plain[field]
    _, (bad,) = decode_events(json.dumps([plain]).encode())
    assert f"`{field}`" in bad.reason


NESTED = b'{"type":"marker","at_ms":1,"title":"deep","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BAD = [b"1", b"null", b"[]", b'"x"', b"{}", b'{"type":"request.ended"}', b'{"type":"request.started"}', b'{"type":"marker","at_ms":1,"title":"\xc3"}']


def test_one_bad_object_never_spoils_its_array() -> None:
    """All good ones are read, each bad one is kept as it was with a reason of its own."""
    good = [encode_events([event])[1:-1] for event in EVERY]
    mixed = [piece for pair in zip(good, BAD, strict=True) for piece in pair]
    assert decode_events(b"[" + b",".join(mixed[:-1]) + b"]")[0] == EVERY
    assert [bad.raw for bad in decode_events(b"[" + b",".join(mixed[:-1]) + b"]")[1]] == BAD[:-1]
    assert all(bad.reason for bad in decode_events(b"[" + b",".join(mixed[:-1]) + b"]")[1])


@pytest.mark.parametrize(
    "record", [b"", b" ", b"not json", b"[", b"[,]", b'{"type":', b"\xff\xfe", b"\x00", b"[" * 100_000, NESTED], ids=lambda r: repr(r[:12])
)
def test_a_record_that_is_no_json_is_bad_as_a_whole(record: bytes) -> None:
    """Brackets nested a hundred thousand deep are no reason to stop either."""
    good, bad = decode_events(record)
    assert (good, [item.raw for item in bad]) == ([], [record])
    assert bad[0].reason


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(record: bytes) -> None:
    """Never an exception: a poisoned record must not stop the fold."""
    good, bad = decode_events(record)
    assert good or bad or json.loads(record) == []


def test_an_object_nested_too_deep_takes_its_record_along() -> None:
    """The one exception: where it ends cannot be found, so the whole record goes to the dead letters."""
    record = b"[" + encode_events([EVERY[7]])[1:-1] + b"," + NESTED + b"]"
    good, bad = decode_events(record)
    assert (good, [item.raw for item in bad]) == ([], [record])


NUMBERS = (np.float64(5), np.float32(5), np.int64(5), np.uint8(5), Fraction(5), Decimal(5))


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: type(n).__name__)
def test_numbers_of_other_libraries_are_numbers(number: Any) -> None:
    """Measurements come from arrays, prices from decimals."""
    (event,), _ = decode_events(encode_events([Feedback(at_ms=number, request_id="r", target="t", completed_at_ms=0)]))
    assert event.at_ms == 5


@pytest.mark.parametrize("event", EVERY, ids=TAGS)
def test_a_sound_event_needs_no_mending(event: Event) -> None:
    """It comes back as it is, with nothing to complain about."""
    assert mended(event) == (event, "")


def _completed(**fields: Any) -> Completed:
    plain: dict[str, Any] = {"at_ms": 2.0, "request_id": "r", "target": "t", "started_at_ms": 1.0, "duration_ms": 1.0, "outcome": "ok"}
    return Completed(**(plain | fields))


WRONG: list[dict[str, Any]] = [
    {"quality": 3},
    {"quality": "good"},
    {"cost_usd": -1, "ttft_ms": object()},
    {"output_tokens": 5.5},
    {"error_type": "x" * 10_000_000},
    {"http_status": 7, "model": ["m"], "region": None},
    {"decision": DecisionRef(policy="", snapshot=(0, 0), propensity=7)},
    {"provider": "\ud800"},
    {"attempt": 0},
]


@pytest.mark.parametrize("wrong", WRONG, ids="-".join)
def test_mending_takes_out_wrong_figures_alone(wrong: dict[str, Any]) -> None:
    """What is right of a report stays in it, and the reason is given."""
    event, reason = mended(_completed(input_tokens=550, satisfaction=0.5, **wrong))
    assert event == _completed(input_tokens=550, satisfaction=0.5)
    assert reason


@pytest.mark.parametrize("wrong", [{"outcome": "fine"}, {"outcome": []}, {"duration_ms": -1}, {"target": ""}, {"request_id": 5}, {"at_ms": float("nan")}])
def test_what_needs_a_wrong_figure_cannot_be_mended(wrong: dict[str, Any]) -> None:
    """There is no report without it."""
    event, reason = mended(_completed(**wrong))
    assert event is None
    assert reason


@pytest.mark.parametrize("thing", [None, 5, "text", {"type": "marker"}, object(), DecisionRef(policy="p", snapshot=(0, 0), propensity=1)])
def test_what_is_no_event_cannot_be_mended(thing: Any) -> None:
    """Whatever it is."""
    assert mended(thing)[0] is None


SCRAP = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2) | st.just(object())


@given(st.fixed_dictionaries({}, optional={field.name: SCRAP for field in msgspec.structs.fields(Completed)}))
def test_what_was_mended_can_be_read(fields: dict[str, Any]) -> None:
    """Whatever the fields hold, the outcome is an event that a reader accepts, or none."""
    event, _ = mended(_completed(**fields))
    if event is not None:
        assert decode_events(encode_events([event])) == ([event], [])


def test_a_silence_names_alerts_and_its_end() -> None:
    """It has no target; taking it back speaks of the same record, and another silence of another."""
    silence = Control(at_ms=1.0, action="silence", alert="quality", subject="east", until_ms=2.0, why="a migration")
    assert not silence.fault
    assert "needs its end" in Control(at_ms=1.0, action="silence", alert="quality").fault
    assert "name none" in Control(at_ms=1.0, action="silence", target="east", until_ms=2.0).fault
    assert not Control(at_ms=1.0, action="unsilence").fault
    assert Control(at_ms=1.0, action="unsilence", alert="quality", subject="east").key == silence.key
    assert len({silence.key, Control(at_ms=1.0, action="unsilence", alert="quality").key, Control(at_ms=1.0, action="unsilence", subject="east").key}) == 3
    assert decode_events(encode_events([silence])) == ([silence], [])
