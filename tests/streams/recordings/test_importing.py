from __future__ import annotations

import gzip
import json
import random
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routecast.models.data import Imported
from routecast.models.errors import CheckFailed, ConfigError
from routecast.models.events import Completed, Event, decode_events
from routecast.models.mapping import EXAMPLE, LogMapping, mapping_of
from routecast.streams.recordings.importing import Import
from routecast.streams.recordings.recording import Recording
from routecast.streams.recordings.replay import replay

PLAIN: dict[str, Any] = {
    "target": "to", "started_at": {"column": "at", "time": "epoch_s"}, "duration": {"column": "took", "unit": "s"}, "outcome": "end",
}  # fmt: skip
HEAD = "at,took,to,end\n"

Do = Callable[..., tuple[Imported, list[Event]]]


def mapping(document: dict[str, Any] | None = None, **fields: object) -> LogMapping:
    """The plain one with other fields."""
    return mapping_of((document or {}) | {"fields": PLAIN | fields}, "m.toml")


@pytest.fixture
def imported(tmp_path: Path) -> Do:
    """Imports a text; the report and the events of the recording."""

    def do(text: str | bytes, said: LogMapping | None = None, name: str = "log.csv", **more: Any) -> tuple[Imported, list[Event]]:
        log, out = tmp_path / name, tmp_path / "out.rec"
        out.unlink(missing_ok=True)
        log.write_bytes(text if isinstance(text, bytes) else text.encode())
        found = Import(log, said or mapping(), **more).run(out)
        with Recording(out) as recording:
            recording.check()
            return found, [event for record in recording.records("events", 0) for event in decode_events(record.value or b"")[0]]

    return do


def test_a_line_becomes_a_start_and_an_end(imported: Do) -> None:
    """With every field that the mapping names, in the units of events."""
    fields: dict[str, Any] = {
        "ttft": {"column": "first", "unit": "us"}, "cost_usd": {"column": "cents", "scale": 0.01}, "quality": {"column": "stars", "scale": 0.2},
        "service": {"value": "chat"}, "http_status": "code", "input_tokens": "usage", "urgency": {"value": "high"}, "request_id": "id", "attempt": "try",
    }  # fmt: skip
    text = "at,took,to,end,first,cents,stars,code,usage,id,try\n100,2,east,ok,500000,50,4,200,12.0,abc,2\n"
    found, (start, end) = imported(text, mapping(**fields))
    assert isinstance(end, Completed)
    assert (start.at_ms, end.at_ms, end.started_at_ms, end.duration_ms, end.ttft_ms) == (100_000, 102_000, 100_000, 2000, 500)
    assert (end.cost_usd, end.quality, end.service, end.http_status, end.input_tokens) == (0.5, 0.8, "chat", 200, 12)
    assert (end.request_id, end.attempt, end.target, end.outcome) == ("abc", 2, "east", "ok")
    assert (found.lines, found.requests, found.skipped, found.values, found.events, found.troubles) == (1, 1, 0, 0, 2, ())


def test_events_come_in_the_order_of_time_whatever_the_order_of_lines(imported: Do) -> None:
    """Also where lines are sorted in many runs on disk: the same bytes."""
    luck = random.Random(3)
    lines = [f"{luck.randrange(1000)},{luck.randrange(50)},{luck.choice('ab')},ok\n" for _ in range(500)]
    _, events = imported(HEAD + "".join(lines))
    times = [event.at_ms for event in events]
    assert len(events) == 1000
    assert times == sorted(times)
    assert imported(HEAD + "".join(lines), run_lines=7)[1] == events


@settings(max_examples=20)
@given(rows=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**4), st.sampled_from("abc"), st.sampled_from(["ok", "error", "timeout"])), min_size=1))
def test_counts_of_the_recording_are_those_of_the_log(rows: list[tuple[int, int, str, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every line is one attempt that the fold counts, however long ago it was."""
    folder = tmp_path_factory.mktemp("log")
    (folder / "log.csv").write_text(HEAD + "".join(",".join(map(str, row)) + "\n" for row in rows))
    Import(folder / "log.csv", mapping(), run_lines=5).run(folder / "a.rec")
    with Recording(folder / "a.rec") as recording:
        found = {target.target: (target.ok, target.error, target.timeout) for target in replay(recording, lambda *_: None).targets}
    expected = {to: tuple(sum(row[2:] == (to, end) for row in rows) for end in ("ok", "error", "timeout")) for to in {row[2] for row in rows}}
    assert found == expected


def test_what_cannot_be_mapped_is_counted_with_its_lines(imported: Do) -> None:
    """A line without what is needed is left out, a wrong value alone of the others; nothing is silent."""
    text = "at,took,to,end,stars\n1,1,a,ok,0.5\nx,1,a,ok,1\n3,1,a,great,1\n4,1,,ok,1\n5,1,a,ok,7\n6,-1,a,ok,1\n7,1,a\n8,1,a,ok,-\ny,1,a,ok,1\n"
    found, events = imported(text, mapping(quality="stars"))
    assert (found.lines, found.requests, found.skipped, found.values, len(events)) == (9, 3, 6, 1, 6)
    assert {(t.column, t.reason): (t.lines, t.first, t.example) for t in found.troubles} == {
        ("at", "is no number"): (2, (3, 10), "x"), ("", "no time"): (3, (3, 7, 10), ""),
        ("end", "is none of ok, error, timeout, rate_limited, cancelled: say what it means with `values`"): (1, (4,), "great"),
        ("", "no target"): (1, (5,), ""), ("stars", "must be <= 1.0"): (1, (6,), "7"), ("took", "must be >= 0.0"): (1, (7,), "-1"),
        ("", "has not the 5 cells of the heading"): (1, (8,), "7,1,a"),
    }  # fmt: skip


def test_json_lines_may_be_nested_and_zipped(imported: Do) -> None:
    """Dotted names reach into objects; numbers are numbers, and a line that is none is told."""
    lines = [{"at": 5, "took": 0.5, "to": "a", "end": True, "usage": {"in": 7}}, {"at": 6, "took": 1, "to": "a", "end": False}]
    said = mapping(outcome={"column": "end", "values": {"true": "ok", "false": "error"}}, input_tokens="usage.in")
    text = "\n".join([*map(json.dumps, lines), "[1]", "{nonsense", ""])
    found, events = imported(gzip.compress(text.encode()), said, "log.jsonl.gz")
    assert [event.outcome for event in events if isinstance(event, Completed)] == ["ok", "error"]
    assert [event.input_tokens for event in events if isinstance(event, Completed)] == [7, None]
    assert [(t.reason, t.first) for t in found.troubles] == [("is no JSON object", (3, 4))]


@pytest.mark.parametrize(
    ("status", "outcome", "error_type"),
    [
        (200, "ok", ""), (429, "rate_limited", "rate_limit"), (503, "error", "overloaded"), (504, "timeout", "timeout"),
        (401, "error", "auth"), (499, "cancelled", ""),
    ],
)  # fmt: skip
def test_a_status_is_enough_to_know_the_outcome(imported: Do, status: int, outcome: str, error_type: str) -> None:
    """By the rules that judge answers live."""
    said = mapping_of({"fields": {name: of for name, of in PLAIN.items() if name != "outcome"} | {"http_status": "end"}}, "m")
    _, (_, end) = imported(f"{HEAD}1,1,a,{status}\n", said)
    assert isinstance(end, Completed)
    assert (end.outcome, end.error_type, end.http_status) == (outcome, error_type, status)


@pytest.mark.parametrize(
    ("said", "cell", "expected_ms"),
    [
        ({"time": "iso8601"}, "2026-11-26T10:00:00Z", 1_795_687_200_000), ({"time": "iso8601", "zone": "Europe/Berlin"}, "2026-11-26 11:00", 1_795_687_200_000),
        ({"time": "%d.%m.%Y %H:%M"}, "26.11.2026 10:00", 1_795_687_200_000), ({"time": "epoch_ns"}, "1795687200000000000", 1_795_687_200_000),
    ],
)  # fmt: skip
def test_times_of_every_form(imported: Do, said: dict[str, str], cell: str, expected_ms: float) -> None:
    """With a zone of their own, the mapping's or none."""
    _, (start, _) = imported(f"{HEAD}{cell},1,a,ok\n", mapping(started_at={"column": "at", **said}))
    assert start.at_ms == expected_ms


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"fields": {"target": "to"}}, "two of fields.started_at, fields.ended_at, fields.duration"),
        ({"fields": {name: said for name, said in PLAIN.items() if name != "target"}}, "fields.target is missing"),
        ({"fields": {name: said for name, said in PLAIN.items() if name != "outcome"}}, "give fields.outcome or fields.http_status"),
        ({"fields": PLAIN | {"duration": "took"}}, "fields.duration.unit is missing"),
        ({"fields": PLAIN | {"started_at": "at"}}, "fields.started_at.time is missing"),
        ({"fields": PLAIN | {"tagret": "x"}}, "fields.tagret: Input should be 'target'"),
        ({"fields": PLAIN | {"model": {"column": "a", "value": "b"}}}, "give either column or value"),
        ({"fields": PLAIN, "delimeter": ";"}, "delimeter: Extra inputs"),
    ],
)
def test_a_mapping_that_is_wrong_is_refused_with_its_key(document: dict[str, Any], sentence: str) -> None:
    """And with what would be right."""
    with pytest.raises(ConfigError, match=f"^'m.toml': .*{sentence}"):
        mapping_of(document, "m.toml")


@pytest.mark.parametrize(("name", "text"), [("log.csv", "when,took,to,end\n1,1,a,ok\n"), ("log.jsonl", '{"when": 1, "took": 1, "to": "a", "end": "ok"}\n')])
def test_a_column_that_does_not_exist_is_named_beside_those_that_do(imported: Do, name: str, text: str, tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(ConfigError, match="has no column 'at', which the mapping names; its columns are 'when', 'took', 'to', 'end'"):
        imported(text, name=name)
    assert not (tmp_path / "out.rec").exists()


@pytest.mark.parametrize("damage", [lambda packed: packed[: len(packed) // 2], lambda packed: packed[:-8] + bytes(8), lambda _: b"no archive"])
def test_an_archive_that_is_damaged_is_said_and_leaves_no_recording(imported: Do, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Cut short, changed, or none at all."""
    text = HEAD + "".join(f"{i},{i % 7},east,ok\n" for i in range(5000))
    with pytest.raises(ConfigError, match=r"log\.csv\.gz.*take another copy"):
        imported(damage(gzip.compress(text.encode())), name="log.csv.gz")
    assert not (tmp_path / "out.rec").exists()


def test_a_log_of_which_nothing_can_be_mapped_says_why(imported: Do, tmp_path: Path) -> None:
    """And leaves no file behind; so does one whose kind nobody knows, or with a time zone that does not exist."""
    with pytest.raises(CheckFailed, match=r"no line of .* could be mapped: .*at is no number \(1 lines, first 2: 'x'\)"):
        imported(HEAD + "x,1,a,ok\n")
    with pytest.raises(CheckFailed, match="it holds none"):
        imported(HEAD)
    with pytest.raises(ConfigError, match="its name does not tell what it is"):
        imported(HEAD, name="log.txt")
    with pytest.raises(ConfigError, match="there is no time zone 'Mars'"):
        imported(HEAD, mapping(started_at={"column": "at", "time": "iso8601", "zone": "Mars"}))
    assert not (tmp_path / "out.rec").exists()


def test_the_example_is_a_mapping() -> None:
    """Whoever begins with it begins with something that works."""
    assert mapping_of(tomllib.loads(EXAMPLE), "example").fields["cost_usd"].scale == 0.01
