from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routecast.frames import load_decisions, load_events, load_windows, write_table
from routecast.models.config import Config, Intervals
from routecast.models.decision_ref import ShadowRef
from routecast.models.errors import CheckFailed, ConfigError, RoutecastError
from routecast.models.events import Completed, DecisionRef, Event, Feedback, Outcome, Resources, Started, encode_events
from routecast.models.metrics import WindowRecord
from routecast.models.tables import DECISIONS, EVENTS, WINDOWS, Column
from routecast.streams.memory import MemoryReader, Record
from routecast.streams.recordings.recorder import Recorder
from routecast.streams.recordings.recording import RecordingWriter
from routecast.testing import Fleet

T0 = 1_700_000_000_000.0
TYPES = {
    "text": "str", "category": "category", "time": "datetime64[us, UTC]", "count": "int64", "number": "float64", "flag": "bool", "set": "object",
}  # fmt: skip
CONFIG = Config.model_validate(
    {"target": [{"id": name, "provider": f"p-{name}", "model": "m", "service": "chat", "region": "r" if name == "a" else None} for name in "abc"]}
)
SHADOW = ("shadow_arm", "shadow_target", "shadow_propensity")
PAGE = Path(__file__).parent.parent / "docs" / "data.md"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a recording: of each partition, records with the events and the second after T0 at which they were appended."""

    def make(*partitions: Sequence[tuple[float, list[Event]]], config: Config | None = CONFIG) -> Path:
        file = tmp_path / f"{random.Random().random()}.rec"
        with RecordingWriter(file, "routecast.") as out:
            if config is not None:
                out.add("state", 0, Record(0, T0, f"config/{config.version}".encode(), config.model_dump_json().encode()))
            for partition, records in enumerate(partitions):
                for offset, (second, events) in enumerate(records):
                    out.add("events", partition, Record(offset, T0 + second * 1000, b"", encode_events(events)))
        return file

    return make


def started(request: str = "r", target: str = "a", second: float = 0.0, **more: Any) -> Started:
    """The start of a call."""
    return Started(at_ms=T0 + second * 1000, request_id=request, target=target, **more)


def completed(request: str = "r", target: str = "a", second: float = 1.0, **more: Any) -> Completed:
    """Its end, a second after its start where nothing else is said."""
    facts: dict[str, Any] = {"started_at_ms": T0 + second * 1000 - 1000, "duration_ms": 1000.0, "outcome": "ok"} | more
    return Completed(at_ms=T0 + second * 1000, request_id=request, target=target, **facts)


def _shape(frame: pd.DataFrame) -> list[tuple[str, str]]:
    return [(str(name), str(kind)) for name, kind in frame.dtypes.items()]


@pytest.mark.parametrize(("load", "table"), [(load_decisions, DECISIONS), (load_events, EVENTS), (load_windows, WINDOWS)])
@pytest.mark.parametrize("full", [True, False])
def test_columns_and_types_are_those_of_the_registry(write: Write, load: Callable[[Path], pd.DataFrame], table: Sequence[Column], full: bool) -> None:
    """Of a recording with events and of one without."""
    file = write([(1.0, [started(), completed()])] if full else [])
    frame = load(file)
    assert _shape(frame) == [(column.name, TYPES[column.kind]) for column in table]
    assert (len(frame) > 0) == full


def test_the_page_says_what_the_registry_says() -> None:
    """Every column with its type, unit and meaning, in its order."""
    text = PAGE.read_text()
    for name, table in (("decisions", DECISIONS), ("events", EVENTS), ("windows", WINDOWS)):
        rows = "".join(f"| `{column.name}` | {TYPES[column.kind]} | {column.unit} | {column.meaning} |\n" for column in table)
        assert rows in text.split(f"## `{name}`")[1], rows


def test_a_call_is_one_row_of_what_its_start_and_its_end_say(write: Write) -> None:
    """Labels of the start, figures of the end, seconds, the configured names where neither says any."""
    decision = DecisionRef(
        policy="performance",
        snapshot=(2, 7),
        propensity=0.25,
        candidates="5",
        forced="urgent",
        arm="e.1/new",
        shadow=ShadowRef(arm="b", target="c", propensity=0.5),
    )
    file = write(
        [(1.5, [started(urgency="high", deadline_ms=3000, input_tokens=10, decision=decision, caller_region="eu", emitter="host-1")]),
         (2.5, [completed(ttft_ms=200.0, output_tokens=40, cost_usd=0.5, input_tokens=12, decision=decision, quality=0.5, http_status=200)])]
    )  # fmt: skip
    (row,) = load_decisions(file).to_dict("records")
    assert {name: row[name] for name in ("request_id", "attempt", "service", "target", "provider", "model", "region", "caller_region", "emitter")} == {
        "request_id": "r", "attempt": 1, "service": "chat", "target": "a", "provider": "p-a", "model": "m", "region": "r", "caller_region": "eu",
        "emitter": "host-1",
    }  # fmt: skip
    assert {name: row[name] for name in ("policy", "term", "seq", "propensity", "candidates", "allowed", "forced", "hedge", "arm", "urgency", *SHADOW)} == {
        "policy": "performance", "term": 2, "seq": 7, "propensity": 0.25, "candidates": "5", "allowed": ("a", "c"), "forced": "urgent", "hedge": False,
        "arm": "e.1/new", "urgency": "high", "shadow_arm": "b", "shadow_target": "c", "shadow_propensity": 0.5,
    }  # fmt: skip
    assert [row[name] for name in ("started_at", "ended_at")] == [datetime.fromtimestamp(T0 / 1000 + second, UTC) for second in (0, 1)]
    names = ("deadline_s", "input_tokens", "output_tokens", "duration_s", "ttft_s", "cost_usd", "quality", "http_status")
    assert [row[name] for name in names] == [3.0, 12.0, 40.0, 1.0, 0.2, 0.5, 0.5, 200.0]


def test_what_nobody_said_is_unknown_and_not_zero(write: Write) -> None:
    """A start without an end, and an end without a start or a decision."""
    frame = load_decisions(write([(1.0, [started("open")]), (2.0, [completed("alone", second=2.0)])], config=None)).set_index("request_id")
    unknown = frame.isna()
    assert all(unknown.loc["open", ["outcome", "ended_at", "duration_s", "propensity", "policy", "allowed", "service", "cost_usd", "quality", "forced"]])
    assert all(unknown.loc["alone", ["urgency", "ttft_s", "output_tokens", "input_tokens", "deadline_s", "error_type"]])
    assert list(frame["caller_fault"]) == [False, False]


def test_a_mask_that_the_recording_does_not_explain_is_unknown(write: Write) -> None:
    """A target that no configuration names, a choice outside the mask, no configuration at all."""

    def decided(request: str, mask: str, target: str) -> Completed:
        return completed(request, target, decision=DecisionRef(policy="p", snapshot=(1, 1), propensity=1.0, candidates=mask))

    events: list[Event] = [decided("beyond", "9", "a"), decided("outside", "6", "a"), decided("fine", "7", "b")]
    found = load_decisions(write([(1.0, events)])).set_index("request_id")["allowed"].to_dict()
    assert found == {"beyond": None, "outside": None, "fine": ("a", "b", "c")}
    assert load_decisions(write([(1.0, events)], config=None))["allowed"].isna().all()


def test_the_last_feedback_wins_over_what_the_end_said(write: Write) -> None:
    """It goes to the last attempt at its target, and says nothing of what it leaves out."""
    said: dict[str, Any] = {"completed_at_ms": T0, "request_id": "r", "target": "a"}
    events: list[Event] = [
        completed(attempt=1, second=1.0, quality=0.1, satisfaction=0.3), completed(attempt=2, second=2.0, quality=0.2, satisfaction=0.4),
        Feedback(at_ms=T0, quality=0.8, **said), Feedback(at_ms=T0, quality=0.9, **said),
        Feedback(at_ms=T0, quality=0.7, request_id="r", target="b", completed_at_ms=T0),
    ]  # fmt: skip
    frame = load_decisions(write([(3.0, events)]))
    assert frame[["attempt", "quality", "satisfaction"]].to_numpy().tolist() == [[1, 0.1, 0.3], [2, 0.9, 0.4]]


@settings(max_examples=15)
@given(homes=st.lists(st.integers(0, 3), min_size=12, max_size=12))
def test_decisions_do_not_depend_on_how_requests_are_spread_over_partitions(homes: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    """As long as each keeps one: the same rows."""
    requests = [(started(str(i), second=i), completed(str(i), second=i + 1.5)) for i in range(12)]

    def table(homes: Sequence[int]) -> pd.DataFrame:
        file = tmp_path_factory.mktemp("spread") / "a.rec"
        with RecordingWriter(file, "") as out:
            for partition in range(4):
                events = [event for pair, home in zip(requests, homes, strict=True) if home == partition for event in pair]
                for offset, event in enumerate(sorted(events, key=lambda event: event.at_ms)):
                    out.add("events", partition, Record(offset, event.at_ms, b"", encode_events([event])))
        return load_decisions(file)

    pd.testing.assert_frame_equal(table(homes), table([0] * 12))


@pytest.mark.parametrize("bounds", [{"begin": T0 + 2000, "end": T0 + 4000}, {"begin": {0: 1}, "end": {0: 3}}])
def test_a_range_holds_what_was_appended_within_it(write: Write, bounds: dict[str, Any]) -> None:
    """By time and by offset: the first is within, the last is not; other partitions are whole where offsets do not name them."""
    file = write([(float(i), [started(str(i), second=float(i))]) for i in range(1, 6)])
    assert list(load_events(file, **bounds)["request_id"]) == ["2", "3"]
    assert list(load_decisions(file, **bounds)["request_id"]) == ["2", "3"]


@pytest.mark.parametrize("load", [load_events, load_decisions, load_windows])
def test_a_range_without_events_is_an_empty_table(write: Write, load: Callable[..., pd.DataFrame]) -> None:
    """After the last one, before the first, and from later to sooner."""
    file = write([(float(i), [started(str(i), second=float(i))]) for i in range(1, 6)])
    for bounds in ({"begin": T0 + 1e9}, {"end": T0 - 1e9}, {"begin": T0 + 4000, "end": T0 + 2000}):
        assert len(load(file, **bounds)) == 0


def test_a_time_as_text_is_refused(write: Write) -> None:
    """With what is right."""
    with pytest.raises(ConfigError, match="'2023-11-14' is no time: give a datetime"):
        load_events(write([]), begin="2023-11-14")  # type: ignore[arg-type]


def test_a_file_that_cannot_be_written_says_why(write: Write, tmp_path: Path) -> None:
    """Also where pandas finds that out, whose errors have no reason of the system."""
    with pytest.raises(RoutecastError, match=r"a\.csv.*cannot be written: .*non-existent directory"):
        write_table(load_events(write([(1.0, [started()])])), tmp_path / "nowhere" / "a.csv")


def test_a_time_without_a_zone_is_refused(write: Write) -> None:
    """It would mean something else on another machine."""
    with pytest.raises(ConfigError, match="has no time zone"):
        load_events(write([]), begin=datetime(2023, 11, 14))  # noqa: DTZ001 - this is what is tested


def test_events_of_every_kind_have_a_row_in_the_order_of_the_log(write: Write) -> None:
    """With the place of their record; what a kind cannot have is unknown."""
    resources = Resources(at_ms=T0, target="a", cpu=0.5, network_ms=20.0, queue_depth=0)
    frame = load_events(write([(2.0, [completed(ttft_ms=100.0)])], [(1.0, [started(), resources])]))
    assert list(frame["type"]) == ["request.started", "target.resources", "request.completed"]
    assert frame[["partition", "offset"]].to_numpy().tolist() == [[1, 0], [1, 0], [0, 0]]
    assert list(frame["queue_depth"].fillna(-1)) == [-1, 0, -1]
    assert list(frame["network_s"].fillna(-1)) == [-1, 0.02, -1]
    assert list(frame["ttft_s"].fillna(-1)) == [-1, -1, 0.1]
    assert list(frame["request_id"].isna()) == [False, True, False]


def _fleet() -> Fleet:
    """Minutes of a fleet on three partitions, everything kept on its log."""
    config = CONFIG.model_copy(update={"intervals": Intervals(snapshot_ms=10_000)})
    fleet, luck = Fleet(config, routers=4, seed=5, partitions=3), random.Random(5)
    outcomes: list[Outcome] = ["ok", "ok", "ok", "error", "timeout"]
    fleet.pipeline.kept = 10_000_000
    for _ in range(400):
        fleet.advance_to(fleet.now_ms + luck.expovariate(1 / 400))
        router = fleet.router(luck.randrange(4))
        call = router.start(router.choose())
        call.tokens(input=luck.randrange(400), output=luck.randrange(200))
        fleet.queue.after(luck.lognormvariate(6, 1), call.finish, luck.choice(outcomes))
    fleet.advance_to(fleet.now_ms + 900_000)
    return fleet


def test_windows_are_those_that_were_published_live(tmp_path: Path) -> None:
    """The same subjects, counts, tokens and percentiles as the newest records of the live pipeline, of ten seconds and minutes."""
    fleet, file = _fleet(), tmp_path / "a.rec"

    async def record() -> None:
        with RecordingWriter(file, "routecast.") as out:
            recorder = Recorder(MemoryReader(fleet.pipeline.log), out, "beginning")
            await recorder.begin()
            await recorder.copy()

    asyncio.run(record())
    live: dict[str, WindowRecord] = {}
    for partition in (0, 1):
        for record_ in fleet.pipeline.log.read("metrics", partition, 0, 1_000_000):
            window = WindowRecord.decode(record_.value or b"")
            live[window.key] = window
    expected = {key: (w.ok, w.error, w.timeout, w.input_tokens, w.in_flight_max, w.covered_ms / 1000) for key, w in live.items() if w.duration.n or w.error}
    frame = load_windows(file)
    short = frame[frame["window"] != "1h"]
    keys = short["kind"].astype(str) + "/" + short["id"].astype(str) + "/" + short["window"].astype(str)
    keys += "/" + (short["starts_at"].astype("int64") // 1000).astype(str)
    figures = short[["ok", "errors", "timeouts", "input_tokens", "in_flight_max", "covered_s"]].fillna(0).itertuples(index=False, name=None)
    assert dict(zip(keys, figures, strict=True)) == expected
    hours = frame[frame["window"] == "1h"].groupby("kind", observed=True)["requests"].sum()
    assert set(hours) == {len(load_decisions(file).dropna(subset="outcome"))}


def test_windows_go_on_after_a_night_without_requests(write: Write) -> None:
    """Every window in which anything happened, and none beside; percentiles stay within what was seen."""
    frame = load_windows(write([(1.0, [completed("1", second=1.0)]), (90_000.0, [completed("2", second=90_000.0)])]))
    whole = frame[(frame["kind"] == "system") & (frame["window"] == "1m")]
    assert list(whole["requests"]) == [1, 1]
    assert list(whole["starts_at"].astype("int64") // 60_000_000 * 60.0) == [(T0 / 1000 + second) // 60 * 60 for second in (1, 90_000)]
    assert (whole["latency_p99_s"] == 1.0).all()
    assert whole["cost_usd"].isna().all()


def test_windows_need_a_configuration(write: Write) -> None:
    """It says which target belongs to what."""
    with pytest.raises(CheckFailed, match="holds no configuration"):
        load_windows(write([(1.0, [completed()])], config=None))


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_table_that_was_written_reads_as_it_was(write: Write, tmp_path: Path, suffix: str) -> None:
    """Sets are lists in Parquet and ids with blanks between in CSV; unknown stays unknown."""
    decision = DecisionRef(policy="p", snapshot=(1, 1), propensity=0.5, candidates="3")
    frame = load_decisions(write([(2.0, [started("open"), completed("r", decision=decision)])]))
    out = tmp_path / f"a.{suffix}"
    write_table(frame, out)
    assert suffix == "parquet" or ",1,1," in out.read_text()  # the version of the snapshot, though it is unknown in one row
    again = pd.read_parquet(out) if suffix == "parquet" else pd.read_csv(out, parse_dates=["started_at", "ended_at"])
    assert list(again["started_at"]) == list(frame["started_at"])
    assert again.set_index("request_id")["duration_s"].isna().to_dict() == {"open": True, "r": False}
    found = again.set_index("request_id")["allowed"].to_dict()
    assert (list(found["r"]) if suffix == "parquet" else found["r"].split()) == ["a", "b"]
    assert pd.isna(found["open"])
