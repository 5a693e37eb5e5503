from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routecast.dashboards.terminal.columns import COLUMNS, cells, fit, matching, ordered
from routecast.dashboards.terminal.journal import Journal
from routecast.dashboards.terminal.page_text import page_lines
from routecast.dashboards.terminal.picture import Picture
from routecast.dashboards.terminal.rows import About, first, rows
from routecast.dashboards.terminal.text import lines
from routecast.dashboards.terminal.words import percent
from routecast.models.config import Config
from routecast.models.details import WindowName
from routecast.models.events import Control, encode_events
from routecast.models.insights import Alert, AlertEvidence, Change, Subject, encode_insight
from routecast.models.snapshot import RoutingSnapshot, State, TargetScore, encode_snapshot
from routecast.streams.memory import Record

Story = Any
"""Of conftest."""
NAMES = st.text(max_size=12)
POSITIVE = st.floats(1e-8, 9e8)
RATIO = st.floats(0, 1)
AMOUNT = st.floats(0, 9e8)
TARGETS = st.builds(
    TargetScore, id=NAMES, state=st.sampled_from(get_args(State)), ramp=RATIO, time_s=POSITIVE, service_s=POSITIVE, capacity=POSITIVE, share=RATIO,
    in_flight=AMOUNT, in_flight_mean=AMOUNT, oldest_open_ms=AMOUNT, cost_s=POSITIVE, success=RATIO, fail_s=AMOUNT, quality=RATIO, quality_n=AMOUNT, usd=AMOUNT,
    headroom=RATIO, weight=AMOUNT, score=RATIO, load=RATIO, history=RATIO, real_time=RATIO, n=AMOUNT,
)  # fmt: skip
SNAPSHOTS = st.builds(
    RoutingSnapshot, service=st.sampled_from(["chat", "mail"]), term=st.integers(0, 9), seq=st.integers(0, 9), at_ms=st.floats(0, 1e14),
    period_ms=st.floats(1, 3e6), rate_per_s=AMOUNT, routers=st.integers(0, 99), t_ref_s=AMOUNT, policy=NAMES,
    targets=st.lists(TARGETS, max_size=4, unique_by=lambda target: target.id).map(tuple),
)  # fmt: skip
NUMBERS = st.none() | st.floats(0, 1e300) | st.integers(0, 10**12)
WINDOW = st.dictionaries(st.sampled_from(["requests_per_min", "success_ratio", "error_ratio", "timeout_ratio", "judged", "requests"]), NUMBERS)
CONFIG = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})


@pytest.fixture
def make_alert() -> Callable[..., Alert]:
    """A critical alert of failures, nine of ten when it was told last."""

    def make(about: str, at_ms: float, kind: Any = "target") -> Alert:
        return Alert(
            id="5f1c0a", version=1, incident="5f1c0a", notify=True, kind="error_rate", severity="critical", state="raised", rule="burn_rate", unit="burn_rate",
            subject=Subject(kind=kind, id=about, service="chat"), title=f"{about} is out of service", threshold=14.4, value=180.0, target=1.0,
            started_ms=at_ms - 300_000.0, at_ms=at_ms - 60_000.0, evidence=(AlertEvidence(window_ms=300_000.0, n=100, bad=90.0, value=180.0),),
        )  # fmt: skip

    return make


def _details(window: dict[str, object], at_ms: float, names: list[str]) -> bytes:
    subject = {"windows": {"10s": window, "1m": window}}
    return json.dumps({"service": "chat", "at_ms": at_ms, "system": {"id": "all", **subject}, "targets": [{"id": name, **subject} for name in names]}).encode()


@settings(max_examples=60)
@given(st.lists(SNAPSHOTS, max_size=5), WINDOW, st.floats(0, 1e14), st.integers(20, 240))
def test_whatever_is_published_can_be_shown(snapshots: list[RoutingSnapshot], window: dict[str, object], now_ms: float, width: int) -> None:
    """No snapshot, figure, name, time or width makes the board, its lines or a page raise; nothing that could steer a terminal gets out."""
    journal = Journal(CONFIG)
    for number, snapshot in enumerate(snapshots):
        journal.take("scores", Record(number, now_ms, b"", encode_snapshot(snapshot)))
        journal.take("details", Record(number, now_ms, b"", _details(window, now_ms + number, [target.id for target in snapshot.targets])))
    picture = Picture(journal, CONFIG, "anywhere")
    board = picture.board(now_ms)
    assert board.model_validate_json(board.model_dump_json()).services == board.services
    for line in lines(board, width):
        assert line.plain.isprintable()
    for row in board.targets:
        page = picture.page(row.id, now_ms)
        assert page is not None
        assert all(line.plain.isprintable() for line in page_lines(page))
    for column in COLUMNS:
        assert len(ordered(board.targets, column.head)) == len(board.targets)


def test_every_cell_is_as_wide_as_its_column_and_the_columns_fit(story: Story) -> None:
    """From the narrowest terminal on that holds target and state; with more room there are more columns."""
    board = story.picture(80).board(story.frames[0].at_ms + 80_000.0)
    shown = 0
    for width in range(29, 200):
        fitted = fit(board, width)
        assert sum(it.width + 1 for it in fitted) - 1 <= width
        assert len(fitted) >= shown
        shown = len(fitted)
        for row in board.targets:
            assert [len(text) for text, _ in cells(fitted, row, board.at_ms)] == [it.width for it in fitted]
    assert [it.column.head for it in fit(board, 79)][:8] == ["target", "state", "since", "p95", "err", "429", "/min", "share"]


def test_what_needs_a_look_comes_first_and_filters_look_everywhere_or_in_a_field(story: Story) -> None:
    """By trouble unless asked otherwise; a filter's words must all be met."""
    board = story.picture(64).board(story.frames[0].at_ms + 64_000.0)
    assert board.targets[0].id == "b"
    assert [row.id for row in ordered(board.targets, "target")] == ["a", "b", "c"]
    assert [row.id for row in ordered(board.targets, "target", reverse=True)] == ["c", "b", "a"]
    assert ordered(board.targets, "/min")[0].requests_per_min == max(row.requests_per_min for row in board.targets)
    for wanted, expected in (("open", {"b"}), ("state:open", {"b"}), ("p-a", {"a"}), ("service:chat p-c", {"c"}), ("state:a", set()), ("", {"a", "b", "c"})):
        assert {row.id for row in matching(board.targets, wanted)} == expected


@pytest.mark.parametrize(
    ("second", "now_s", "said"),
    [
        (0, 0, "no snapshot was ever published: `routecast worker` starts a worker"),
        (30, 30, "all 3 targets are well"),
        (75, 75, r"b is open since \d\d:14:21 (14 s), 1.7% of its 404 requests in the last minute failed (83% since \d\d:14:20); single probes test it"),
        (30, 60, "nobody publishes: the snapshot of chat is"),
    ],
)
def test_one_sentence_says_who_is_bad_since_when_and_what_is_done(story: Story, second: float, now_s: float, said: str) -> None:
    """Also when nothing is the matter, when nobody publishes, and when nobody ever did."""
    sentence = story.picture(second or -1).board(story.frames[0].at_ms + now_s * 1000.0).sentence
    assert sentence.startswith(said.replace(r"\d\d", "22"))


def test_what_became_worse_lately_comes_before_what_has_been_so_for_long(story: Story) -> None:
    """Whatever share of the traffic each has."""
    journal, now_ms = story.journal(30), story.frames[0].at_ms + 30_000.0

    def change(target: str, since_ms: float) -> Change:
        return Change(
            id=target, version=1, subject=Subject(kind="target", id=target, service="chat"), metric="response_time", worse=True, since_ms=since_ms,
            detected_ms=since_ms, before=500.0, after=900.0, statistic=15.0, threshold=14.0, n=9,
        )  # fmt: skip

    for old, new in (("a", "b"), ("b", "a")):
        changes = {old: [change(old, now_ms - 600_000.0)], new: [change(new, now_ms - 20_000.0)]}
        assert [row.id for row in first(rows(journal, CONFIG, About({}, changes, {}), "1m"))][:2] == [new, old]


def test_the_page_says_why_a_target_gets_its_share(story: Story) -> None:
    """With the state of the target, what is said of it, its windows with sample sizes, and what happened to it."""
    page = story.picture(75).page("b", story.frames[0].at_ms + 75_000.0)
    assert (page.why.cost_s, page.why.probability) == (None, 0.0)
    assert page.details.windows["5m"].latency.n > 0
    assert [change.metric for change in page.changes if change.worse] == ["error_ratio"]
    assert {happening.who for happening in page.happenings} == {"b"}
    well = story.picture(30).page("a", story.frames[0].at_ms + 30_000.0)
    assert 0.0 < well.why.probability <= 1.0
    assert story.picture(30).page("nobody", 0.0) is None


@pytest.mark.parametrize("window", ["10s", "1m", "5m"])
def test_the_sentence_says_of_failures_what_the_table_says(story: Story, window: WindowName) -> None:
    """The same figure, of the same window, which it names."""
    for second in range(64, 110, 4):
        board = story.picture(second).board(story.frames[0].at_ms + second * 1000.0, window=window)
        said = re.search(r"([\d.]+%) of its ([\d,]+) requests in the last (?:minute|10 s|5 min) failed", board.sentence)
        worst = board.targets[0]
        assert (said is None) == (not worst.failure_ratio), board.sentence
        assert said is None or said.groups() == (percent(worst.failure_ratio), f"{worst.judged:,}")


def test_shares_are_what_was_sent_and_plans_stand_beside_them_only_where_routers_follow_them(story: Story) -> None:
    """Under round robin the planned shares of the snapshots say nothing of where requests go."""
    now_ms = story.frames[0].at_ms + 50_000.0
    for policy, planned in (("performance", True), ("round_robin", False)):
        config = Config.model_validate(story.film.config.model_dump() | {"routing": {"policy": policy}})
        journal = Journal(config)
        for heard in (heard for frame in story.frames if frame.at_ms <= now_ms for heard in frame.records):
            journal.take(*heard)
        board = Picture(journal, config, "story").board(now_ms)
        text = "\n".join(line.plain for line in lines(board, 160))
        assert [row.planned is not None for row in board.targets] == [planned] * 3
        assert ("plan" in text, board.services[0].policy) == (planned, policy)
        details = journal.glances["chat"]
        started = {target.id: target.started_total for target in details.targets}  # within the first minute, all that began
        sent = {row.id: round((row.share or 0.0) * sum(started.values())) for row in board.targets}
        assert all(abs(sent[name] - started[name]) <= 0.2 * sum(started.values()) for name in started)


def test_an_alert_that_no_longer_shows_does_not_lead(story: Story, make_alert: Callable[..., Alert]) -> None:
    """It goes on for minutes after its target is well; a target that is out of service now comes first, and so does the sentence."""
    journal, now_ms = story.journal(75), story.frames[0].at_ms + 75_000.0
    about = About({"a": [make_alert("a", now_ms)]}, {}, {})
    assert [row.id for row in first(rows(journal, CONFIG, about, "1m"))][:2] == ["b", "a"]
    journal.take("insights", Record(0, now_ms, b"", encode_insight(make_alert("a", now_ms))))
    board = Picture(journal, CONFIG, "story").board(now_ms)
    assert (board.sentence.startswith("b is open"), board.targets[1].alert) == (True, "critical")
    page = Picture(journal, CONFIG, "story").page("a", now_ms)
    assert page is not None
    assert "no longer shows; the alert ends after five minutes of peace" in page.sentence


def test_an_alert_of_a_service_is_said_where_no_target_stands_out(story: Story, make_alert: Callable[..., Alert]) -> None:
    """All targets are well is not all."""
    journal, now_ms = story.journal(30), story.frames[0].at_ms + 30_000.0
    journal.take("insights", Record(0, now_ms, b"", encode_insight(make_alert("chat", now_ms, kind="service"))))
    assert Picture(journal, CONFIG, "story").board(now_ms).sentence.endswith("; no single target of 3 stands out")


def test_what_happened_is_told_in_the_order_in_which_it_happened(story: Story) -> None:
    """Analyses are published after the snapshots that they are older than."""
    board = story.picture(115).board(story.frames[0].at_ms + 115_000.0)
    times = [happening.at_ms for happening in board.happenings]
    assert len(times) > 3
    assert times == sorted(times)
    journal = Journal(CONFIG)
    for at_ms in (2000.0, 1000.0):
        journal.take("control", Record(0, at_ms, b"b", encode_events([Control(at_ms=at_ms, target="b", action="drain")])))
    assert [happening.at_ms for happening in Picture(journal, CONFIG, "here").board(3000.0).happenings] == [1000.0, 2000.0]


def test_trouble_says_how_old_what_is_shown_is(story: Story) -> None:
    """By the newest snapshot that came."""
    said = story.picture(30).board(story.frames[0].at_ms + 75_000.0, trouble="no broker answers").sentence
    assert re.fullmatch(r"no broker answers; what is shown is of \d\d:13:\d\d, 4\d s old", said)
