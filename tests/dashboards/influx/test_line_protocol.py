from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routecast.dashboards.influx.connection import Connection
from routecast.dashboards.influx.line_protocol import MOST_TAG, MOST_TEXT, BadPoint, Destination, Encoder, Line, Point, safe_tag
from routecast.dashboards.influx.schema import (
    ALERT,
    LATENCY_HIST,
    MEASUREMENTS,
    PIPELINE,
    PROVIDER_STATE,
    PROVIDER_WINDOW,
    ROUTER_EVENT,
    Field,
    Measurement,
    Tag,
)

AT_MS = 1_700_000_000_000
WINDOW_TAGS = ("east", "openai", "gpt-4o", "chat", "eastus", "10s")
KINDS = (Field("i", "int", "", ""), Field("f", "float", "", ""), Field("s", "string", "", ""))
MIXED = Measurement("mixed", "of every kind", (Tag("tag", ""), Tag("other", "")), KINDS, {"": "7d"})
NASTY = st.text(st.one_of(st.characters(), st.sampled_from(list(" ,=\\\"'\n\r\t\x00#{}\u2028\ud800é漢😀"))), max_size=200)


def test_a_line_has_sorted_tags_typed_fields_and_milliseconds() -> None:
    """As the server likes it."""
    line = Encoder(PROVIDER_STATE).line(Point(PROVIDER_STATE, ("east, 1", "chat"), AT_MS + 0.9, ("open", 4)))
    assert line == Line(b'provider_state,service=chat,target=east\\,\\ 1 state="open",code=4i 1700000000000', Destination("90d", "ms"), "provider_state", AT_MS)


def test_a_measurement_of_many_voices_has_nanoseconds() -> None:
    """So that two marks of one millisecond stay two."""
    line = Encoder(ROUTER_EVENT).line(Point(ROUTER_EVENT, ("marker", "info", "_all"), AT_MS, ("deployed", "", AT_MS), below_ms=17))
    assert line.text.endswith(b" 1700000000000000017")
    assert line.destination == Destination("1y", "ns")


@pytest.mark.parametrize(("window", "bucket"), [("10s", "7d"), ("1m", "30d"), ("1h", "2y")])
def test_the_length_of_a_window_decides_on_its_bucket(window: str, bucket: str) -> None:
    """Long windows are kept for longer."""
    line = Encoder(LATENCY_HIST).line(Point(LATENCY_HIST, ("east", "chat", window), AT_MS, (1, *(0,) * 14)))
    assert line.destination == Destination(bucket, "ms")  # type: ignore[arg-type]


def test_what_is_not_known_is_left_out() -> None:
    """Line protocol has no null."""
    values: tuple[Any, ...] = (5, 0, 0, 0, 0, 1.5, *(None,) * 24)
    encoder = Encoder(PROVIDER_WINDOW)
    texts = [encoder.line(Point(PROVIDER_WINDOW, WINDOW_TAGS, AT_MS, values)).text for _ in range(2)]
    assert texts[0] == texts[1]
    assert texts[0].split(b" ")[1] == b"requests=5i,errors=0i,timeouts=0i,rate_limited=0i,cancelled=0i,latency_mean_s=1.5"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((1.0, 1.0, "x"), r"mixed\.i: 1\.0 \(float\) is no finite int"),
        ((True, 1.0, "x"), r"mixed\.i: True \(bool\) is no finite int"),
        ((2**63, 1.0, "x"), r"mixed\.i: 9223372036854775808"),
        ((-(2**63), 1.0, None), r"mixed\.i: -9223372036854775808"),
        ((1, float("nan"), None), r"mixed\.f: nan \(float\) is no finite float"),
        ((1, float("inf"), None), r"mixed\.f: inf"),
        ((1, 10**400, None), r"mixed\.f: 1000"),
        ((1, "1.0", None), r"mixed\.f: '1\.0' \(str\)"),
        ((1, 1.0, 5), r"mixed\.s: 5 \(int\) is no finite string"),
        ((None, None, None), r"mixed\.fields: nothing is known"),
        ((1, 1.0), r"mixed\.fields: 2 values for 3 fields"),
    ],
)
def test_a_wrong_type_is_found_before_anything_is_written(values: tuple[Any, ...], reason: str) -> None:
    """And named; also after right ones have made the way short."""
    encoder = Encoder(MIXED)
    encoder.line(Point(MIXED, ("a", "b"), AT_MS, (1, 1.0, None)))
    for _ in range(2):
        with pytest.raises(BadPoint, match=reason):
            encoder.line(Point(MIXED, ("a", "b"), AT_MS, values))


def test_a_whole_number_is_a_float_where_a_float_is_stored() -> None:
    """Its line says so every time."""
    encoder = Encoder(MIXED)
    assert {encoder.line(Point(MIXED, ("a", "b"), AT_MS, (1, 2, None))).text.split(b" ")[1] for _ in range(3)} == {b"i=1i,f=2.0"}


@pytest.mark.parametrize("at_ms", [-1, float("nan"), float("inf"), 1e16])
def test_a_time_outside_the_servers_range_is_refused(at_ms: float) -> None:
    """Seconds or nanoseconds in the place of milliseconds among them."""
    with pytest.raises(BadPoint, match=r"pipeline\.time: .* is no time in epoch milliseconds"):
        Encoder(PIPELINE).line(Point(PIPELINE, ("sink", "a"), at_ms, (1, 0, 1.0, 1.0, 1.0, 1)))


def test_a_window_without_a_bucket_is_refused() -> None:
    """Nothing is stored where nobody looks."""
    with pytest.raises(BadPoint, match=r"latency_hist\.window: '24h' is none of 10s, 1m, 1h"):
        Encoder(LATENCY_HIST).line(Point(LATENCY_HIST, ("east", "chat", "24h"), AT_MS, (0,) * 15))


def test_wrong_numbers_of_tags_are_refused() -> None:
    """Values would stand under other names."""
    with pytest.raises(BadPoint, match=r"provider_state\.tags: 1 values for 2 tags"):
        Encoder(PROVIDER_STATE).line(Point(PROVIDER_STATE, ("a",), AT_MS, ("ok", 0)))


def test_forbidden_names_are_refused() -> None:
    """Grafana and Flux take them for something else."""
    with pytest.raises(ValueError, match=r"names \['time'\] mean something else"):
        Encoder(MIXED._replace(tags=(Tag("time", ""),)))


@pytest.mark.parametrize(
    ("text", "safe"),
    [("", "unknown"), ("  ", "unknown"), ("\\\\", "unknown"), ("a\nb,c=1 2", "a b,c=1 2"), ("east\\", "east"), ("\ud800", "?"), ("x" * 500, "x" * MOST_TAG)],
)
def test_a_tag_is_made_safe(text: str, safe: str) -> None:
    """Whatever a provider is called, its batch is stored."""
    assert safe_tag(text) == safe


@given(text=NASTY)
def test_a_safe_tag_is_safe_already(text: str) -> None:
    """Making it safe again changes nothing."""
    assert safe_tag(safe_tag(text)) == safe_tag(text)


def test_every_measurement_can_be_encoded() -> None:
    """With a value in each field."""
    sample: dict[str, int | float | str] = {"int": 3, "float": 0.25, "string": "text"}
    for measurement in MEASUREMENTS:
        tags = tuple("10s" if name == "window" else name for name in measurement.tag_names)
        line = Encoder(measurement).line(Point(measurement, tags, AT_MS, tuple(sample[field.kind] for field in measurement.fields)))
        assert line.text.count(b"=") == len(measurement.tags) + len(measurement.fields)


def test_what_was_written_is_what_is_read_back(store: Any) -> None:
    """Tags with blanks, quotes, newlines, backslashes and other scripts; integers, floats and texts to the ends of their ranges."""
    connection = Connection(store.settings, store.token)
    encoder, now_ms = Encoder(MIXED), int(time.time() * 1000)
    floats = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
    points = st.tuples(NASTY, NASTY, st.integers(-(2**63) + 1, 2**63 - 1), floats, NASTY)

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(drawn=st.lists(points, min_size=20, max_size=60, unique_by=lambda point: (safe_tag(point[0]), safe_tag(point[1]))))
    def written_is_read(drawn: list[tuple[str, str, int, float, str]]) -> None:
        store.clear("7d")
        lines = [encoder.line(Point(MIXED, (a, b), now_ms, (i, f, s))) for a, b, i, f, s in drawn]
        answer = connection.write(lines[0].destination, lines)
        assert (answer.status, answer.message) == (204, "")
        found = {(tag, other, field): value for tag, other, field, value in store.points("7d", ("tag", "other", "_field", "_value"))}
        expected: dict[tuple[str, str, str], Any] = {}
        for a, b, i, f, s in drawn:
            tags = safe_tag(a), safe_tag(b)
            expected |= {(*tags, "i"): i, (*tags, "f"): f, (*tags, "s"): _plain(s)}
        assert {key: int(value) if key[2] == "i" else float(value) if key[2] == "f" else value for key, value in found.items()} == expected

    written_is_read()
    connection.close()


def _plain(text: str) -> str:
    """What is kept of a text field: no control characters, no surrogates, a bounded length."""
    spaces = {*range(32), 127, *range(128, 160), 0x2028, 0x2029}
    return "".join(" " if ord(letter) in spaces else "?" if 0xD800 <= ord(letter) < 0xE000 else letter for letter in text)[:MOST_TEXT]


def test_of_two_points_of_one_series_and_time_the_later_one_stays(store: Any) -> None:
    """Within a request and across requests: corrections overwrite what they correct."""
    connection = Connection(store.settings, store.token)
    encoder, now_ms = Encoder(ALERT), int(time.time() * 1000)
    tags = ("east", "chat", "error_rate", "high", "threshold")
    lines = [encoder.line(Point(ALERT, tags, now_ms, ("raised", 0.1, value, 2.0, "title", now_ms, None))) for value in (0.2, 0.3, 0.4)]
    assert [connection.write(lines[0].destination, part).status for part in (lines[:2], lines[2:])] == [204, 204]
    assert [value for _, field, value in store.points("2y") if field == "value"] == ["0.4"]
    connection.close()
