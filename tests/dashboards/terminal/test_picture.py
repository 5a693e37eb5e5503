from __future__ import annotations

import json
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
from routecast.models.config import Config
from routecast.models.insights import Change, Subject
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


def _details(window: dict[str, object], at_ms: float, names: list[str]) -> bytes:
    subject = {"windows": {"10s": window, "1m": window}}
    return json.dumps({"service": "chat", "at_ms": at_ms, "system": {"id": "all", **subject}, "targets": [{"id": name, **subject} for name in names]}).encode()


@settings(max_examples=60)
@given(st.lists(SNAPSHOTS, max_size=5), WINDOW, st.floats(0, 1e14), st.integers(20, 240))
def test_whatever_is_published_can_be_shown(snapshots: list[RoutingSnapshot], window: dict[str, object], now_ms: float, width: int) -> None:
    """No snapshot, figure, name, time or width makes the board, its lines or a page raise; nothing that could steer a terminal gets out."""
    journal = Journal()
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
        (75, 75, r"b is open since \d\d:14:21 (14 s), 83% of its latest requests failed; single probes test it, at the latest after 30 s; its share goes to "),
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
