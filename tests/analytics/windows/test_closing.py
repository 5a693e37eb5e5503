"""What is published of closed windows against a count of the events, whatever comes late, and whoever leads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routecast.analytics.fold import PartitionFold, Record
from routecast.analytics.merge import Merge
from routecast.analytics.windows.closed_window import figures_of, merged
from routecast.analytics.windows.closing import Closing
from routecast.analytics.windows.details import DetailsBuilder
from routecast.analytics.windows.history import HOUR_MS
from routecast.models.config import Config, TargetConfig
from routecast.models.events import Completed, Event, Feedback, Outcome
from routecast.models.metrics import WindowRecord
from routecast.models.rows import KEPT_MS, PANE_MS

T0 = 1_699_999_200_000
"""The beginning of an hour."""
CONFIG = Config(
    target=(
        TargetConfig(id="a", provider="p", model="m", service="chat"),
        TargetConfig(id="b", provider="q", model="m", service="chat"),
        TargetConfig(id="c", provider="p", model="m", service="mail"),
    )
)
MEMBERS: dict[str, dict[str, Sequence[str]]] = {
    "target": {"a": "a", "b": "b", "c": "c", "new": ("new",)}, "provider": {"p": "ac", "q": "b"}, "service": {"chat": "ab", "mail": "c"},
    "system": {"system": ("a", "b", "c", "new")},
}  # fmt: skip
LENGTHS = {"10s": 10_000, "1m": 60_000, "1h": HOUR_MS}


class World:
    """Two partitions, and one leader after the other that follows what is closed."""

    def __init__(self) -> None:
        self.folds = [PartitionFold(0), PartitionFold(1)]
        self.log: list[Record] = []
        self.published: list[WindowRecord] = []
        self.newest: dict[str, WindowRecord] = {}
        self.at_s = 0.0
        self._lead(Merge(), published_ms=0)
        self.closing.recalled()

    def _lead(self, merge: Merge, published_ms: int) -> None:
        begin_ms = (T0 + int(self.at_s) * 1000 - KEPT_MS - PANE_MS) // 60_000 * 60_000 + 60_000
        self.merge, self.builder = merge, DetailsBuilder(CONFIG, begin_ms, merge)
        self.closing = Closing(self.builder, begin_ms, published_ms)
        self.begin_ms = begin_ms

    def tell(self, *events: Event, partition: int = 0, flush: bool = True) -> None:
        """Events that reach the log now."""
        fold = self.folds[partition]
        fold.apply(fold.offset + 1, T0 + self.at_s * 1000, events)
        if flush:
            self.flush()

    def flush(self) -> None:
        """Rows that changed become known."""
        for fold in self.folds:
            for key, value in fold.flush() if fold.dirty else ():
                self.log.append((key, value))
                self.merge.add(key, value)

    def update(self, at_s: float) -> list[WindowRecord]:
        """What is published then."""
        self.at_s = at_s
        self.flush()
        self.merge.expire(T0 + at_s * 1000 - KEPT_MS)
        self.builder.update(T0 + at_s * 1000, self.merge)
        self.closing.look()
        found = self.closing.take(10**9)
        for record in found:
            known = self.newest.get(record.key)
            assert known is None or record.version >= known.version
            assert WindowRecord.decode(record.encode()) == record
            self.newest[record.key] = record
        self.published += found
        return found

    def until(self, at_s: float, step_s: int = 10) -> None:
        """Update every ten seconds until then."""
        while self.at_s + step_s <= at_s:
            self.update(self.at_s + step_s)

    def fail_over(self, behind_s: int = 60) -> None:
        """The leader dies; the next one knows the rows, what was published, and the last checkpoint, so many seconds old."""
        merge = Merge()
        for key, value in self.log:
            merge.add(key, value)
        merge.expire(T0 + self.at_s * 1000 - KEPT_MS)
        self._lead(merge, published_ms=T0 + int(self.at_s) // 10 * 10_000 - behind_s * 1000)
        for window in self.older():
            self.closing.recall(window)
        self.closing.recalled()

    def older(self) -> Iterable[list[WindowRecord]]:
        """Of each closed window before this leader's history the newest records: by the hour, and by the minute from the last published hour on."""
        hours = [record.start_ms for record in self.newest.values() if record.window == "1h"]
        last_ms = max(hours, default=0)
        wanted = [
            record for record in self.newest.values()
            if (record.window == "1h" and record.start_ms < last_ms) or (record.window == "1m" and last_ms <= record.start_ms < self.begin_ms)
        ]  # fmt: skip
        wanted.sort(key=attrgetter("window", "start_ms"))
        return [list(records) for _, records in groupby(wanted, key=attrgetter("window", "start_ms"))]

    def counts(self, window: str, figure: str) -> dict[tuple[str, str, int], int]:
        """A figure of all newest records of a window, by kind, id and start, where it is not 0."""
        records = (record for record in self.newest.values() if record.window == window)
        return {(record.kind, record.id, record.start_ms): value for record in records if (value := getattr(record, figure))}


def ended(at_s: float, target: str = "a", outcome: Outcome = "ok", ms: float = 50.0, quality: float | None = None) -> Completed:
    """An attempt that ended then, seconds after `T0`."""
    at_ms = T0 + at_s * 1000
    return Completed(
        at_ms=at_ms, request_id="r", target=target, started_at_ms=at_ms - ms, duration_ms=ms, outcome=outcome, start_reported=False, quality=quality,
        output_tokens=3,
    )  # fmt: skip


def truth(window: str, moments: Iterable[tuple[str, float]]) -> dict[tuple[str, str, int], int]:
    """How many of these moments (target, seconds after `T0`) fall into each window of each subject."""
    found: Counter[tuple[str, str, int]] = Counter()
    for target, at_s in moments:
        start_ms = (T0 + int(at_s * 1000)) // LENGTHS[window] * LENGTHS[window]
        found.update((kind, name, start_ms) for kind, groups in MEMBERS.items() for name, members in groups.items() if target in members)
    return dict(found)


def test_a_window_is_published_once_it_is_over() -> None:
    """Ten seconds at their end, a minute at its end, for the target, its provider, its service and the system."""
    world = World()
    world.tell(ended(3.0), ended(4.0))
    first = world.update(10)
    assert [(record.kind, record.id, record.window, record.start_ms - T0, record.ok) for record in first] == [
        ("target", "a", "10s", 0, 2), ("provider", "p", "10s", 0, 2), ("service", "chat", "10s", 0, 2), ("system", "system", "10s", 0, 2),
    ]  # fmt: skip
    world.until(60)
    assert [record.key for record in world.published[4:]] == [
        f"{kind}/{name}/1m/{T0}" for kind, name in (("target", "a"), ("provider", "p"), ("service", "chat"), ("system", "system"))
    ]


def test_what_does_not_change_is_said_once() -> None:
    """Ten minutes later no window was published again, though its rows were looked at three times more."""
    world = World()
    world.tell(ended(3.0))
    world.until(700)
    assert Counter(record.window for record in world.published) == {"10s": 4, "1m": 4}


def test_a_late_row_is_a_correction_of_who_it_is_about() -> None:
    """A higher version, at the next look, for those alone whose figures changed."""
    world = World()
    world.tell(ended(3.0), ended(4.0, "b"))
    world.until(60)
    before = len(world.published)
    world.tell(ended(5.0, outcome="error"))
    world.until(70)
    corrected = world.published[before:]
    assert {(record.kind, record.id, record.window) for record in corrected} == {
        (kind, name, window) for kind, name in (("target", "a"), ("provider", "p"), ("service", "chat"), ("system", "system")) for window in ("10s", "1m")
    }
    assert all(record.error == 1 and record.version > world.published[0].version for record in corrected)


def test_there_are_at_most_four_versions() -> None:
    """However often feedback comes, a window is said again after ten seconds, two minutes and eight, and no more."""
    world = World()
    world.tell(ended(3.0))
    while world.at_s < 700:
        world.update(world.at_s + 10)
        world.tell(Feedback(at_ms=T0 + world.at_s * 1000, request_id="r", target="a", completed_at_ms=T0 + 3000, quality=0.5))
    of_target = [record for record in world.published if (record.kind, record.start_ms) == ("target", T0) and not record.late]
    assert [(record.window, record.quality_n) for record in of_target] == [
        ("10s", 0), ("1m", 5), ("10s", 6), ("1m", 6), ("10s", 17), ("1m", 17), ("10s", 53), ("1m", 53),
    ]  # fmt: skip


def test_feedback_after_ten_minutes_is_shown_where_it_comes() -> None:
    """Not in the window of its request, but as late in the window in which it came, and in no other figure of that."""
    world = World()
    world.tell(ended(3.0))
    world.until(700)
    world.tell(Feedback(at_ms=T0 + 700_500, request_id="r", target="a", completed_at_ms=T0 + 3000, quality=0.25))
    world.until(720)
    record = world.newest[f"target/a/10s/{T0 + 700_000}"]
    assert (record.late, record.late_quality_n, record.late_quality_sum, record.quality_n, record.ok) == (1, 1, 250_000, 0, 0)
    assert world.newest[f"target/a/10s/{T0}"].quality_n == 0


def test_an_hour_is_the_sum_of_its_minutes() -> None:
    """Published when it is over, and again with its last minute; a quiet last minute changes nothing of that."""
    world = World()
    for minute in (0, 7, 31, 58):
        world.until(minute * 60 + 50)
        world.tell(ended(minute * 60 + 45.0, ms=1000.0 + minute))
    world.until(3600)
    first = world.newest[f"target/a/1h/{T0}"]
    assert (first.ok, first.covered_ms, first.duration.n, first.duration.max_us) == (4, HOUR_MS - 40_000, 4, 1_058_000)
    world.tell(ended(58 * 60 + 46.0))
    world.until(5000)
    last = world.newest[f"target/a/1h/{T0}"]
    assert last.ok == 5
    assert last.version > first.version
    minutes = [record for record in world.newest.values() if (record.kind, record.window) == ("target", "1m")]
    assert figures_of(*minutes).model_dump(exclude={"start_ms", "end_ms", "requests_per_min", "tokens_per_min"}) == figures_of(last).model_dump(
        exclude={"start_ms", "end_ms", "requests_per_min", "tokens_per_min"}
    )


def test_the_first_window_says_how_much_of_it_is_known() -> None:
    """Rates divide by what is covered, not by the name of the window."""
    world = World()
    world.at_s = 30.0
    world.tell(ended(35.0), ended(36.0))
    world.until(60)
    record = world.newest[f"target/a/1m/{T0}"]
    assert (record.covered_ms, figures_of(record).requests_per_min, figures_of(record).start_ms) == (30_000, 4.0, T0 + 30_000)


def test_most_requests_at_once_are_those_of_each_subject() -> None:
    """Of a group not the sum of what its members had at different times."""
    world = World()
    for target, second in (("a", 1.0), ("b", 5.0)):
        world.tell(*(ended(second + 2.0, target, ms=2000.0) for _ in range(3)))
    world.tell(ended(9.0, "c", ms=8500.0))
    world.until(10)
    assert {record.id: record.in_flight_max for record in world.published} == {"a": 3, "b": 3, "c": 1, "p": 4, "q": 3, "chat": 3, "mail": 1, "system": 4}


def _spread(most: int) -> list[WindowRecord]:
    """Three minutes with late rows, published for `most` subjects at a time."""
    world, found = World(), list[WindowRecord]()
    world.tell(ended(3.0), ended(4.0, "b"), ended(12.0))
    for at_s in range(10, 181, 10):
        world.builder.update(T0 + at_s * 1000, world.merge)
        world.closing.look()
        world.tell(ended(at_s - 7.0, "c"))
        found += world.closing.take(most)
    for _ in range(1000):  # more than there are windows to look at
        found += world.closing.take(most)
    return found


@pytest.mark.parametrize("most", [1, 9])
def test_little_by_little_the_same_is_published(most: int) -> None:
    """However many ticks it is spread over, each window is published as it was when it was looked at."""
    assert _spread(most) == _spread(10**9)


def _day(fail_over_s: Sequence[int], until_s: int) -> World:
    """Something every 40 s, half a minute late: often in a window that was empty when it was over, with changes of leader in between."""
    world = World()
    for at_s in range(0, until_s, 40):
        world.until(at_s)
        if any(at_s - 40 < when_s <= at_s for when_s in fail_over_s):
            world.fail_over(60 + at_s % 600)
        world.tell(ended(max(5.0, at_s - 30.0), "abc"[at_s // 40 % 3], ms=100.0 + at_s / 100))
    world.until(until_s)
    return world


@pytest.fixture(scope="module")
def alone() -> World:
    """Two hours and a half under one leader."""
    return _day([], 9000)


@pytest.mark.parametrize("fail_over_s", [[1900], [3560], [3640], [3760, 3800], [4120], [4400], [700, 1400, 3000, 5000, 6000, 7300, 8000]])
def test_a_new_leader_forgets_no_long_window(alone: World, fail_over_s: Sequence[int]) -> None:
    """Wherever in the hour it takes over, hours are published whole, and details show the hour and the day as if nothing had happened."""
    changed = _day(fail_over_s, 9000)
    for window in LENGTHS:
        assert changed.counts(window, "ok") == alone.counts(window, "ok")
        assert changed.counts(window, "in_flight_max") == alone.counts(window, "in_flight_max")
    details = [world.builder.details("chat", 1, 2) for world in (alone, changed)]
    assert details[0].encode() == details[1].encode()
    assert details[0].system.windows["24h"].requests == 225


def test_a_pipeline_that_was_away_for_hours_shows_what_was_before() -> None:
    """The day holds what was published of hours that never ended under any leader."""
    world = _day([], 2000)
    world.at_s = 4 * 3600.0
    world.fail_over()
    world.until(4 * 3600 + 60)
    system = world.builder.details("chat", 1, 2).system
    assert (system.windows["1h"].requests, system.windows["24h"].requests) == (0, 50)
    assert system.windows["24h"].start_ms == T0


Step = tuple[int, str, str, int, Outcome, int]
"""After how many seconds, what, of which target, how many seconds late, how it ended, in which partition it is told."""

steps = st.lists(
    st.tuples(
        st.integers(0, 40), st.sampled_from(["end", "end", "judge", "fail over"]), st.sampled_from(["a", "b", "c", "new"]), st.integers(0, 400),
        st.sampled_from(["ok", "ok", "error", "timeout"]), st.integers(0, 1),
    ),
    max_size=60,
)  # fmt: skip


@pytest.mark.untraced
@settings(max_examples=40, deadline=None)
@given(steps, st.sampled_from([0, 3300]))
def test_newest_records_are_a_count_of_the_events(history: Sequence[Step], begin_s: int) -> None:
    """Of every window and subject, through late ends, late feedback and changes of leader; versions never fall; hours are sums of minutes."""
    world = World()
    world.at_s = float(begin_s)
    moments: list[tuple[str, float]] = []
    failed: list[tuple[str, float]] = []
    judged: list[tuple[str, float]] = []
    for after_s, what, target, late_s, outcome, partition in history:
        world.until(world.at_s + after_s // 10 * 10)
        moment_s = max(float(begin_s), world.at_s - late_s) + 0.5
        if what == "fail over":
            world.fail_over(60 + late_s)
        elif what == "judge":
            world.tell(
                Feedback(at_ms=T0 + world.at_s * 1000, request_id="r", target=target, completed_at_ms=T0 + moment_s * 1000, quality=0.5), partition=partition
            )
            judged.append((target, moment_s))
        else:
            world.tell(ended(moment_s, target, outcome), partition=partition)
            (moments if outcome == "ok" else failed).append((target, moment_s))
    world.until(max(world.at_s + 650, 3600 + 600))
    for window in LENGTHS:
        assert world.counts(window, "ok") == truth(window, moments)
        assert world.counts(window, "quality_n") == truth(window, judged)
        assert {key: value for figure in ("error", "timeout") for key, value in world.counts(window, figure).items()}.keys() == truth(window, failed).keys()
    for coarse, fine in (("1m", "10s"), ("1h", "1m")):
        _is_sum(world, coarse, fine)


def _is_sum(world: World, coarse: str, fine: str) -> None:
    length = LENGTHS[coarse]
    for record in (record for record in world.newest.values() if record.window == coarse):
        parts = [
            other for other in world.newest.values()
            if (other.kind, other.id, other.window) == (record.kind, record.id, fine) and 0 <= other.start_ms - record.start_ms < length
        ]  # fmt: skip
        whole, sum_ = merged([record]).stats, merged(parts).stats
        assert whole.sums.tolist() == sum_.sums.tolist()
        assert whole.sketches.tobytes() == sum_.sketches.tobytes()
        assert whole.lows.tolist() == sum_.lows.tolist()
