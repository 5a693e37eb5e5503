from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.sketch import bucket_of, encode_counts
from routecast.analytics.windows.closed_window import figures_of
from routecast.dashboards.influx.line_protocol import Point
from routecast.dashboards.points.insights import below_ms, insight_points
from routecast.dashboards.points.reports import event_points
from routecast.dashboards.points.scores import CODES, ScorePoints
from routecast.dashboards.points.translation import Translator
from routecast.dashboards.points.windows import window_points
from routecast.models.capacity import Capacity, ScaleHint
from routecast.models.config import Config
from routecast.models.errors import DecodeError
from routecast.models.events import Completed, Control, DecisionCount, Event, Marker, RouterStats, encode_events
from routecast.models.experiments import Arm, Experiment
from routecast.models.insights import Alert, Change, Recommendations, Subject, Trend, Trends, encode_insight
from routecast.models.metrics import Distribution, WindowRecord
from routecast.models.snapshot import RoutingSnapshot, State, TargetScore, encode_snapshot

AT_MS = 1_700_000_000_000
EAST = Subject(kind="target", id="east", provider="openai", model="gpt-4o", service="chat", region="eastus")
CONFIG = Config.model_validate({"target": [{"id": "east", "provider": "openai", "model": "gpt-4o", "service": "chat"}]})


def _fields(point: Point) -> dict[str, Any]:
    return dict(zip(point.measurement.field_names, point.values, strict=True))


def _tags(point: Point) -> dict[str, str]:
    return dict(zip(point.measurement.tag_names, point.tags, strict=True))


def _distribution(durations_us: list[int]) -> Distribution:
    counts: dict[int, int] = {}
    for us in durations_us:
        counts[bucket_of(us)] = counts.get(bucket_of(us), 0) + 1
    if not durations_us:
        return Distribution()
    return Distribution(n=len(durations_us), sum_us=sum(durations_us), min_us=min(durations_us), max_us=max(durations_us), sketch=encode_counts(counts))


def _window(durations_us: list[int], **more: Any) -> WindowRecord:
    fields: dict[str, Any] = {"kind": "target", "id": "east", "provider": "openai", "model": "gpt-4o", "service": "chat", "region": "eastus"}
    fields |= {"window": "10s", "start_ms": AT_MS, "end_ms": AT_MS + 10_000, "covered_ms": 10_000, "version": 1, "duration": _distribution(durations_us)}
    return WindowRecord(**fields | more)


DURATIONS = st.lists(st.integers(0, 700_000_000), max_size=60)


@given(durations=DURATIONS, ttft=DURATIONS, error=st.integers(0, 9), timeout=st.integers(0, 9), limited=st.integers(0, 9), cancelled=st.integers(0, 9))
def test_figures_of_a_window_are_those_of_the_details(durations: list[int], ttft: list[int], error: int, timeout: int, limited: int, cancelled: int) -> None:
    """To a unit of the sixth digit; the ratio of errors counts every failure, as the thresholds do."""
    record = _window(durations, ttft=_distribution(ttft), ok=len(durations), error=error, timeout=timeout, rate_limited=limited, cancelled=cancelled)
    found, expected = _fields(window_points(record)[0]), figures_of(record)
    assert found["requests"] == expected.requests
    assert found["rpm"] == pytest.approx(expected.requests_per_min, rel=1e-5)
    failed = error + timeout + limited
    assert found["error_ratio"] == (pytest.approx(failed / expected.judged, rel=1e-5) if expected.judged else None)
    assert (found["timeout_ratio"], found["rate_limit_ratio"]) == (expected.timeout_ratio, expected.rate_limit_ratio)
    for name in ("mean", "min", "p50", "p90", "p95", "p99", "max"):
        value = getattr(expected.latency, f"{name}_ms")
        assert found[f"latency_{name}_s"] == (None if value is None else pytest.approx(value / 1000, rel=1e-5))
    assert found["ttft_p95_s"] == (None if expected.ttft.p95_ms is None else pytest.approx(expected.ttft.p95_ms / 1000, rel=1e-5))


@given(durations=DURATIONS)
def test_bars_count_every_duration_once(durations: list[int]) -> None:
    """Under the first bound that it does not exceed, bounds being exact to 1 %."""
    bars = _fields(window_points(_window(durations))[1])
    assert sum(bars.values()) == len(durations)
    short, long = (sum(us * factor <= 10_240_000 for us in durations) for factor in (1.021, 0.979))
    assert short <= sum(value for name, value in bars.items() if name <= "le_10_24") <= long


def test_a_window_says_whose_it_is() -> None:
    """Groups are `_all` in what they sum over; bars of providers would stand where the system's do, so there are none."""
    names = {"target": "east", "provider": "openai", "service": "chat", "system": "system"}
    points = {kind: window_points(_window([5], kind=kind, id=name)) for kind, name in names.items()}
    assert {kind: found[0].tags for kind, found in points.items()} == {
        "target": ("east", "openai", "gpt-4o", "chat", "eastus", "10s"),
        "provider": ("_all", "openai", "_all", "_all", "_all", "10s"),
        "service": ("_all", "_all", "_all", "chat", "_all", "10s"),
        "system": ("_all", "_all", "_all", "_all", "_all", "10s"),
    }
    assert {kind: [point.tags for point in found[1:]] for kind, found in points.items()} == {
        "target": [("east", "chat", "10s")], "provider": [], "service": [("_all", "chat", "10s")], "system": [("_all", "_all", "10s")],
    }  # fmt: skip
    assert {point.at_ms for found in points.values() for point in found} == {AT_MS + 10_000}


def test_rates_of_a_window_are_over_the_part_that_is_known() -> None:
    """And sums over what was reported; what nobody reported is left out."""
    record = _window([5], ok=1, covered_ms=5000, input_tokens=40, output_tokens=60, cost_micro_usd=2_500_000, quality_n=2, quality_sum=1_500_000,
                     cpu_n=1, cpu_sum=250_000, network_n=2, network_us_sum=5000, queue_n=1, queue_depth_max=7)  # fmt: skip
    found = _fields(window_points(record)[0])
    names = ("rpm", "tpm", "tokens", "cost_usd", "quality", "judgements", "satisfaction", "cpu", "memory", "network_ms", "queue_depth")
    assert [found[name] for name in names] == [12.0, 1200.0, 100, 2.5, 0.75, 2, None, 0.25, None, 2.5, 7]


def _score(name: str, state: State = "ok", score: float = 0.5) -> TargetScore:
    required: dict[str, Any] = dict.fromkeys(("time_s", "service_s", "capacity", "cost_s", "fail_s"), 1.5)
    required |= {"share": 0.5, "in_flight": 2.0, "in_flight_mean": 2.0, "success": 0.9, "quality": 0.8}
    return TargetScore(id=name, state=state, score=score, **required)


def _snapshot(at_ms: float, *targets: TargetScore, period_ms: float = 1000.0) -> RoutingSnapshot:
    return RoutingSnapshot(service="chat", term=1, seq=1, at_ms=at_ms, period_ms=period_ms, rate_per_s=1.0, routers=1, t_ref_s=1.0, targets=targets)


def test_scores_are_told_every_ten_seconds_with_their_rank() -> None:
    """At the beginning of the ten, whatever the moment of the snapshot."""
    points = ScorePoints()
    told = [points.of(_snapshot(AT_MS + ms, _score("a", score=0.2), _score("b", score=0.9))) for ms in (3, 1003, 9003, 10_004)]
    scores = [[point for point in found if point.measurement.name == "provider_score"] for found in told]
    assert [len(found) for found in scores] == [2, 0, 0, 2]
    assert [(point.tags, _fields(point)["rank"], point.at_ms) for point in scores[0]] == [(("b", "chat"), 1, AT_MS), (("a", "chat"), 2, AT_MS)]
    assert scores[3][0].at_ms == AT_MS + 10_000


def test_snapshots_with_long_periods_are_all_told() -> None:
    """There is at most one in ten seconds."""
    points = ScorePoints()
    assert [len(points.of(_snapshot(AT_MS + ms, _score("a"), period_ms=15_000))) for ms in (0, 15_000, 30_000)] == [2, 2, 2]


def test_a_change_of_state_is_told_at_once_with_a_mark() -> None:
    """The first state that is seen is no change."""
    points = ScorePoints()
    told = [points.of(_snapshot(AT_MS + ms, _score("a", state))) for ms, state in ((1001, "ok"), (2001, "ok"), (3001, "open"))]  # type: ignore[arg-type]
    assert [[point.measurement.name for point in found] for found in told] == [["provider_state"], [], ["provider_state", "router_event"]]
    state, mark = told[2]
    assert (state.tags, state.values, state.at_ms) == (("a", "chat"), ("open", CODES["open"]), AT_MS + 3001)
    assert (mark.tags, _fields(mark)["title"]) == (("state", "high", "a"), "a: ok → open")


def _alert(state: str, severity: str = "high", **more: Any) -> Alert:
    fields: dict[str, Any] = {"id": "x", "version": 1, "incident": "i", "notify": True, "kind": "error_rate", "severity": severity, "state": state}
    fields |= {"subject": EAST, "rule": "threshold", "title": "east fails", "threshold": 0.05, "value": 0.2, "target": 0.005, "unit": "ratio"}
    return Alert.model_validate(fields | {"started_ms": AT_MS, "at_ms": AT_MS + 30_000} | more)


def test_an_alert_is_a_point_and_a_mark_that_grows_to_its_length() -> None:
    """The mark of its end overwrites that of its beginning."""
    raised, cleared = (insight_points(alert) for alert in (_alert("raised"), _alert("cleared", ended_ms=AT_MS + 90_000)))
    assert _tags(raised[0]) == {"target": "east", "service": "chat", "kind": "error_rate", "severity": "high", "rule": "threshold"}
    assert _fields(raised[0])["ended_ms"] is None
    assert _fields(cleared[0])["ended_ms"] == AT_MS + 90_000
    assert (raised[1].tags, raised[1].at_ms, raised[1].below_ms) == (cleared[1].tags, cleared[1].at_ms, cleared[1].below_ms)
    assert [_fields(found[1])["end_ms"] for found in (raised, cleared)] == [AT_MS, AT_MS + 90_000]


@pytest.mark.parametrize(
    ("more", "times"),
    [
        ({"unit": "burn_rate", "threshold": 14.4, "value": 28.8}, 2.0),
        ({"unit": "burn_rate", "threshold": 14.4, "value": 0.1}, 1.0),
        ({"unit": "score", "threshold": 0.6, "value": 0.3}, 2.0),
        ({"unit": "per_min", "threshold": 1.0, "value": 0.0}, 1000.0),
        ({"inhibited_by": "y"}, 0.0),
        ({"silenced_until_ms": AT_MS + 60_000}, 0.0),
        ({"state": "cleared", "ended_ms": AT_MS}, 0.0),
    ],
)
def test_an_alert_says_how_many_times_over_its_limit_it_is(more: dict[str, Any], times: float) -> None:
    """At least one, as its end is waited for; and nothing where nobody need look."""
    (alert, *_) = insight_points(Alert.model_validate(_alert("raised").model_dump() | more))
    assert _fields(alert)["times_over"] == times


def test_an_alert_that_another_one_explains_has_no_mark() -> None:
    """One is enough."""
    assert [point.measurement.name for point in insight_points(_alert("raised", inhibited_by="y"))] == ["alert"]


def test_insights_of_every_kind_become_points() -> None:
    """Recommendations stay where they are made."""
    trend = Trend(subject=EAST, metric="response_time", trend="declining", current=900.0, previous=600.0, change=300.0, change_ratio=0.5, confidence=0.99,
                  windows=60, window_ms=60_000, end_ms=AT_MS)  # fmt: skip
    (point,) = insight_points(Trends(service="chat", at_ms=AT_MS, trends=(trend,)))
    assert (point.tags, point.values) == (("east", "chat", "response_time"), (900.0, 600.0, 300.0, 0.5, 0.99, "declining"))
    change = Change(id="c", version=1, subject=EAST, metric="ttft", worse=True, since_ms=AT_MS, detected_ms=AT_MS + 5, before=100.0, after=300.0,
                    statistic=9.0, threshold=5.0, n=40)  # fmt: skip
    (mark,) = insight_points(change)
    assert (mark.tags, _fields(mark)["title"]) == (("anomaly", "medium", "east"), "east: ttft 100 → 300 ms")
    hint = ScaleHint(action="up", slots=3, reason="r")
    (capacity,) = insight_points(Capacity(service="chat", at_ms=AT_MS, now_per_min=60.0, limit_ms=500.0, scale=hint))
    assert capacity.values == (60.0, None, None, None, None, 3)
    assert insight_points(Recommendations(service="chat", at_ms=AT_MS, recommendations=())) == []


def test_groups_of_targets_are_told_apart() -> None:
    """Two providers that alert in one millisecond are two series."""
    kinds: list[Any] = ["provider", "service", "system"]
    tags = [insight_points(_alert("raised", subject=Subject(kind=kind, id="x")))[0].tags[:2] for kind in kinds]
    assert tags == [("provider/x", "_all"), ("_all", "x"), ("_all", "_all")]


def test_reports_of_routers_in_one_millisecond_stay_apart() -> None:
    """By where they stand on the log, the same for whoever reads it."""
    counts = (
        DecisionCount(service="chat", policy="performance", count=7, outcome="ok"),
        DecisionCount(service="chat", policy="performance", count=2, reason="urgent"),
    )
    stats = RouterStats(at_ms=AT_MS, decisions=counts, snapshot_age_ms=1500.0, decision_us_p50=4.5, queue=3, dropped=2)
    points = [event_points(stats, place) for place in ("events/0/5/0", "events/1/5/0")]
    assert [point.tags for point in points[0]] == [("chat", "performance", "ok", "_all"), ("chat", "performance", "_all", "urgent")]
    assert points[0][0].values == (7, 4.5, None, 1.5, 3, 2)
    assert points[0][0].below_ms != points[1][0].below_ms
    assert {point.below_ms for point in points[0]} == {below_ms("events/0/5/0")}


def test_operators_words_and_markers_are_marks() -> None:
    """With what was done, to whom, by whom."""
    arms = (Arm(name="a", share=0.5), Arm(name="b", share=0.5))
    experiment = Experiment(name="try.it", salt="0123abcd", service="chat", arms=arms, starts_ms=AT_MS, ends_ms=AT_MS + 1.0)
    words: list[Event] = [
        Control(at_ms=AT_MS, target="east", action="drain", emitter="ann"),
        Control(at_ms=AT_MS, target="east", action="set_weight", weight=0.5),
        Control(at_ms=AT_MS, action="set_policy", policy="greedy", service="chat"),
        Control(at_ms=AT_MS, action="elect_policy", policy="weighted", service="chat", why="it is faster", emitter="w-1"),
        Control(at_ms=AT_MS, action="silence", alert="quality", subject="east", until_ms=AT_MS, why="a migration"),
        Control(at_ms=AT_MS, action="unsilence"),
        Control(at_ms=AT_MS, action="start_experiment", service="chat", experiment=experiment),
        Control(at_ms=AT_MS, action="stop_experiment", service="chat", name=experiment.id, why="seen enough"),
        Marker(at_ms=AT_MS, title="deployed", text="v2"),
    ]
    marks = [event_points(word, "control/0/1")[0] for word in words]
    assert [(_tags(mark)["kind"], _fields(mark)["title"], _fields(mark)["text"]) for mark in marks] == [
        ("control", "east: drained by hand", "by ann"),
        ("control", "east: weight 0.5", "by an operator"),
        ("control", "_all: policy greedy for chat", "by an operator"),
        ("control", "_all: auto is weighted for chat: it is faster", "by w-1"),
        ("control", "_all: quality of east silenced: a migration", "by an operator"),
        ("control", "_all: alerts heard again", "by an operator"),
        ("control", "_all: experiment try.it of chat started", "by an operator"),
        ("control", "_all: experiment try.it of chat stopped: seen enough", "by an operator"),
        ("marker", "deployed", "v2"),
    ]


def test_a_record_of_any_topic_becomes_lines() -> None:
    """Requests among the events are not even decoded; tombstones are nothing."""
    translator = Translator(CONFIG)
    request = Completed(at_ms=AT_MS, request_id="r", target="east", started_at_ms=AT_MS, duration_ms=5.0, outcome="ok")
    stats = RouterStats(at_ms=AT_MS, decisions=(DecisionCount(service="chat", policy="p", count=1),))
    records: list[tuple[Any, bytes | None]] = [
        ("metrics", _window([5], ok=1).encode()),
        ("scores", encode_snapshot(_snapshot(AT_MS, _score("east")))),
        ("insights", encode_insight(_alert("raised"))),
        ("events", encode_events([request, stats])),
        ("events", encode_events([request])),
        ("control", encode_events([Control(at_ms=AT_MS, target="east", action="drain")])),
        ("metrics", None),
    ]
    found = [translator.record(topic, f"{topic}/0/1", value) for topic, value in records]
    assert [[line.measurement for line in lines] for lines, _ in found] == [
        ["provider_window", "latency_hist"], ["provider_state", "provider_score"], ["alert", "router_event"], ["router_decision"], [], ["router_event"], [],
    ]  # fmt: skip
    assert [bad for _, bad in found if bad] == []


@pytest.mark.parametrize("topic", ["metrics", "scores", "insights"])
def test_what_cannot_be_read_is_told_with_what_it_was(topic: Any) -> None:
    """For the dead letters."""
    lines, (bad,) = Translator(CONFIG).record(topic, f"{topic}/0/1", b'{"nonsense')
    assert (lines, bad.raw) == ([], b'{"nonsense')
    assert bad.reason.startswith("not a")


def test_a_sketch_that_is_none_is_told() -> None:
    """It is read where it is used."""
    with pytest.raises(DecodeError, match="sketch"):
        window_points(_window([5], ttft=Distribution(n=1, sketch=b"\xff")))


def test_a_point_that_cannot_be_stored_does_not_take_its_neighbours_along() -> None:
    """Here one whose time is none."""
    trends = [Trend(subject=EAST, metric="ttft", trend="unknown", windows=0, window_ms=60_000, end_ms=ms) for ms in (-1.0, AT_MS)]
    lines, bad = Translator(CONFIG).record("insights", "insights/0/1", encode_insight(Trends(service="chat", at_ms=AT_MS, trends=tuple(trends))))
    assert ([line.at_ms for line in lines], [found.reason for found in bad]) == ([AT_MS], ["trend.time: -1.0 is no time in epoch milliseconds"])


def test_configured_names_never_become_others(caplog: pytest.LogCaptureFixture) -> None:
    """However many there are."""
    targets = [{"id": f"t{i}", "provider": "p", "model": "m", "service": "chat"} for i in range(500)]
    translator = Translator(Config.model_validate({"target": targets}))
    with caplog.at_level(logging.WARNING):
        lines = [translator.record("metrics", "metrics/0/1", _window([5], id=f"t{i}").encode()).lines[0] for i in range(500)]
    assert (len({line.text for line in lines}), caplog.records) == (500, [])
