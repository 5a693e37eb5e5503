"""Details as routers and people get them: totals, groups, labels, quantiles; a function of merged rows alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fold import PartitionFold, Record
from routecast.analytics.merge import Merge
from routecast.analytics.windows.details import DetailsBuilder
from routecast.models.config import Config, TargetConfig
from routecast.models.details import Details, SubjectDetails
from routecast.models.events import Completed, Event, Outcome, Started
from routecast.models.rows import KEPT_MS

T0 = 1_700_000_000_000.0

CONFIG = Config(
    target=(
        TargetConfig(id="zulu", provider="acme", model="m1", service="chat", region="eu"),
        TargetConfig(id="alpha", provider="bolt", model="m2", service="chat"),
        TargetConfig(id="mike", provider="acme", model="m1", service="embeddings"),
    )
)

Step = tuple[float, float | None, str, Outcome]
"""Start (s), duration (s; None: it never ends), target, outcome."""

steps = st.tuples(
    st.integers(0, 2900).map(lambda tenth: tenth / 10),
    st.sampled_from([0.01, 0.5, 3.0, 40.0, None]),
    st.sampled_from(["zulu", "alpha", "mike", "unknown"]),
    st.sampled_from(["ok", "ok", "error", "timeout", "rate_limited", "cancelled"]),
)


def request(step: Step, number: int = 0, **labels: str) -> list[Event]:
    """The events of one attempt."""
    start_s, duration_s, target, outcome = step
    begun = Started(at_ms=T0 + start_s * 1000, request_id=str(number), target=target, provider=labels.get("provider", ""), service=labels.get("service", ""))
    if duration_s is None:
        return [begun]
    at_ms = begun.at_ms + duration_s * 1000
    end = Completed(
        at_ms=at_ms, request_id=str(number), target=target, started_at_ms=begun.at_ms, duration_ms=duration_s * 1000, outcome=outcome, cost_usd=0.5,
        provider=begun.provider, service=begun.service,
    )  # fmt: skip
    return [begun, end]


def streamed(count: int, target: str = "zulu", at_s: float = 1.0, tokens: int = 11) -> list[Event]:
    """Successes with a first chunk after 100, 101, … ms and 10 ms a token."""
    return [
        Completed(
            at_ms=T0 + at_s * 1000, request_id=str(i), target=target, started_at_ms=T0, duration_ms=100.0 + i + 10 * (tokens - 1), outcome="ok",
            start_reported=False, ttft_ms=100.0 + i, output_tokens=tokens,
        )
        for i in range(count)
    ]  # fmt: skip


def changelog_of(events: Sequence[Event], partition: int = 0, size: int = 1) -> list[Record]:
    """The changelog of one partition, flushed after every record of `size` events."""
    fold, changelog = PartitionFold(partition), list[Record]()
    for offset, i in enumerate(range(0, len(events), size)):
        fold.apply(offset, T0 + 300_000, events[i : i + size])
        changelog += fold.flush()
    return changelog


def builder_of(*changelogs: Sequence[Record], at_s: float = 300.0) -> DetailsBuilder:
    """A builder that saw these changelogs, updated once."""
    merge = Merge()
    for changelog in changelogs:
        for key, value in changelog:
            merge.add(key, value)
    merge.expire(T0 + at_s * 1000 - KEPT_MS)  # as a leader does before it updates
    builder = DetailsBuilder(CONFIG)
    builder.update(T0 + at_s * 1000, merge)
    return builder


def chat(*changelogs: Sequence[Record], at_s: float = 300.0) -> Details:
    """The record of service `chat`."""
    return builder_of(*changelogs, at_s=at_s).details("chat", 1, 2)


@pytest.mark.untraced
@given(st.lists(steps, max_size=30), st.integers(1, 4), st.integers(1, 5), st.randoms())
def test_any_partitioning_and_any_order_give_the_same_record(history: list[Step], partitions: int, size: int, rng: random.Random) -> None:
    """However events are spread over partitions, records and flushes, details and quantiles are the same to the last byte."""
    requests = [request(step, number) for number, step in enumerate(history)]
    plain = builder_of(changelog_of([event for events in requests for event in events]))
    logs: list[list[Event]] = [[] for _ in range(partitions)]
    for events in rng.sample(requests, len(requests)):
        rng.choice(logs).extend(events)
    spread = builder_of(*(changelog_of(logs[p], p, size) for p in rng.sample(range(partitions), partitions)))
    assert spread.details("chat", 1, 2).encode() == plain.details("chat", 1, 2).encode()
    assert spread.quantiles == plain.quantiles


def test_every_configured_target_is_there_before_any_event() -> None:
    """A record is complete from the first moment, with nothing in it."""
    details = DetailsBuilder(CONFIG).details("chat", 1, 2)
    assert [(t.id, t.provider, t.model, t.service, t.region) for t in details.targets] == [
        ("zulu", "acme", "m1", "chat", "eu"),
        ("alpha", "bolt", "m2", "chat", None),
    ]
    assert [p.id for p in details.providers] == ["acme", "bolt"]
    assert [s.id for s in details.services] == ["chat", "embeddings"]
    assert (details.system.id, details.system.requests_total, details.term, details.seq) == ("system", 0, 1, 2)


def test_a_subject_shows_where_its_figures_are_going() -> None:
    """The words of the last analysis, beside the windows; nothing of subjects without."""
    builder = builder_of(changelog_of(streamed(3)))
    builder.trends = {"target/zulu": {"ttft": "declining"}, "service/chat": {"cost": "stable"}}
    details = builder.details("chat", 1, 2)
    assert {subject.id: subject.trends for subject in (*details.targets, *details.services) if subject.trends} == {
        "zulu": {"ttft": "declining"}, "chat": {"cost": "stable"},
    }  # fmt: skip


def test_totals_count_attempts_by_their_end() -> None:
    """Begun, ended and open are told apart; what the caller broke off is a request like any other."""
    history: list[Step] = [(1, 1.0, "zulu", "ok"), (2, 1.0, "zulu", "error"), (3, 1.0, "zulu", "cancelled"), (4, None, "zulu", "ok")]
    zulu = chat(changelog_of([event for i, step in enumerate(history) for event in request(step, i)])).targets[0]
    assert (zulu.started_total, zulu.requests_total, zulu.in_flight) == (4, 3, 1)
    assert zulu.outcomes_total.model_dump() == {
        "ok": 1, "error": 1, "timeout": 0, "rate_limited": 0, "cancelled": 1, "caller_fault": 0, "lost": 0, "late": 0,
    }  # fmt: skip


def test_lost_and_late_are_no_requests_of_their_own() -> None:
    """What never ended is lost and not a request; what came too late for every window is a request that was late."""
    fold = PartitionFold(0)
    fold.apply(0, T0, request((0.0, None, "zulu", "ok")))
    fold.apply(1, T0 + 700_000, request((700.0, None, "zulu", "ok")))
    fold.apply(2, T0 + 700_000, request((1.0, 1.0, "zulu", "error")))
    zulu = chat(fold.flush(), at_s=710.0).targets[0]
    assert (zulu.requests_total, zulu.outcomes_total.lost, zulu.outcomes_total.late, zulu.in_flight) == (1, 1, 2, 1)


def test_groups_are_sums_over_their_targets() -> None:
    """A provider counts its targets in every service, a service all of its targets, the system everything."""
    events = [event for target in ("zulu", "alpha", "mike", "mike") for event in request((290.0, 2.0, target, "ok"))]
    details = chat(changelog_of(events))
    assert {p.id: p.requests_total for p in details.providers} == {"acme": 3, "bolt": 1}
    assert {s.id: s.windows["10s"].requests for s in details.services} == {"chat": 2, "embeddings": 2}
    assert (details.system.requests_total, details.system.windows["1m"].latency.n, details.system.windows["5m"].cost_usd) == (4, 4, 2.0)


def test_target_that_only_events_name_is_shown_with_what_they_say() -> None:
    """Unknown targets of the service follow the configured ones by name; one without labels counts in the system alone."""
    events = [
        *request((1.0, 1.0, "sierra", "ok"), service="chat", provider="acme"),
        *request((1.0, 1.0, "bravo", "ok"), service="chat"),
        *request((1.0, 1.0, "nobody", "ok")),
    ]
    details = chat(changelog_of(events))
    assert [target.id for target in details.targets] == ["zulu", "alpha", "bravo", "sierra"]
    assert [(p.id, p.requests_total) for p in details.providers] == [("acme", 1), ("bolt", 0)]
    assert [(s.id, s.requests_total) for s in details.services] == [("chat", 2), ("embeddings", 0)]
    assert details.system.requests_total == 3


def test_order_of_discovery_leaves_no_trace() -> None:
    """Targets that appear one after the other are listed like those that appear together."""
    merge, builder = Merge(), DetailsBuilder(CONFIG)
    for partition, name in enumerate(("sierra", "bravo")):
        for key, value in changelog_of(request((1.0, 1.0, name, "ok"), service="chat"), partition):
            merge.add(key, value)
        builder.update(T0 + 10_000, merge)
    assert [target.id for target in builder.details("chat", 1, 2).targets] == ["zulu", "alpha", "bravo", "sierra"]


def test_configuration_decides_what_a_target_is() -> None:
    """Labels that an event carries do not move a configured target to another service or provider."""
    details = chat(changelog_of(request((1.0, 1.0, "alpha", "ok"), service="embeddings", provider="other")))
    assert [(t.id, t.provider, t.requests_total) for t in details.targets] == [("zulu", "acme", 0), ("alpha", "bolt", 1)]
    assert [p.id for p in details.providers] == ["acme", "bolt"]


def test_service_without_targets_has_an_empty_list() -> None:
    """Asked for a service nobody has, the record still tells of the system."""
    details = builder_of(changelog_of(request((1.0, 1.0, "zulu", "ok")))).details("other", 1, 2)
    assert (details.targets, details.system.requests_total) == ((), 1)


def test_record_can_be_read_back() -> None:
    """What is built is within what the model allows."""
    details = chat(changelog_of([event for i, at_s in enumerate(range(0, 290, 7)) for event in request((at_s, 3.0, "zulu", "ok"), i)]))
    assert Details.decode(details.encode()) == details


def test_windows_end_with_the_last_pane_that_is_over() -> None:
    """Updated in the middle of a pane, every window ends where that pane began."""
    zulu: SubjectDetails = chat(changelog_of([*request((18.0, 1.0, "zulu", "ok")), *request((20.0, 1.0, "zulu", "error"))]), at_s=25.0).targets[0]
    assert {window.end_ms for window in zulu.windows.values()} == {T0 + 20_000}
    assert (zulu.windows["10s"].start_ms, zulu.windows["10s"].requests, zulu.windows["10s"].success_ratio) == (T0 + 10_000, 1, 1.0)
    assert zulu.requests_total == 2


def test_quantiles_are_sixteen_of_first_chunk_and_time_per_token() -> None:
    """At the midpoints of sixteenths, ms, four significant digits, rising."""
    ttft_ms, tpot_ms = builder_of(changelog_of(streamed(160))).quantiles["zulu"]
    assert ttft_ms == pytest.approx([104.0 + 10 * i for i in range(16)], rel=0.011)
    assert tpot_ms == (10.0,) * 16
    assert all(value == float(f"{value:.4g}") for value in ttft_ms)


@given(st.lists(st.floats(0, 700_000), min_size=10, max_size=60))
def test_quantiles_never_fall(durations: list[float]) -> None:
    """A router refuses a snapshot whose quantiles fall, so they never do."""
    events = [
        Completed(at_ms=T0, request_id="r", target="zulu", started_at_ms=T0, duration_ms=ms, ttft_ms=ms / 2, output_tokens=2, outcome="ok") for ms in durations
    ]
    for quantiles in builder_of(changelog_of(events, size=100), at_s=10.0).quantiles["zulu"]:
        assert len(quantiles) == 16
        assert list(quantiles) == sorted(quantiles)


def test_target_that_never_streamed_has_quantiles_of_the_whole_duration() -> None:
    """Where there is no first chunk, the answer comes as a whole, and there is no time per token."""
    events = [event for i in range(10) for event in request((1.0, 2.0, "zulu", "ok"), i)]
    assert builder_of(changelog_of(events)).quantiles["zulu"] == ((2000.0,) * 16, ())


@pytest.mark.parametrize(("count", "known"), [(9, 0), (10, 16)])
def test_fewer_than_ten_observations_give_no_quantiles(count: int, known: int) -> None:
    """Too little evidence is said to be none."""
    assert [len(q) for q in builder_of(changelog_of(streamed(count))).quantiles["zulu"]] == [known, known]


def test_few_first_chunks_are_not_replaced_by_durations() -> None:
    """A target that streams is not judged by the time of whole answers."""
    whole = [event for i in range(20) for event in request((1.0, 2.0, "zulu", "ok"), i)]
    assert builder_of(changelog_of([*streamed(3), *whole])).quantiles["zulu"].ttft_ms == ()


def test_quantiles_forget_after_five_minutes() -> None:
    """What is older than the window says nothing of now."""
    log = changelog_of(streamed(20))
    assert len(builder_of(log, at_s=300.0).quantiles["zulu"].ttft_ms) == 16
    assert builder_of(log, at_s=310.0).quantiles["zulu"].ttft_ms == ()


def test_every_known_target_has_quantiles_even_if_empty() -> None:
    """Routers look up any target without asking whether it is there."""
    assert builder_of(changelog_of(request((1.0, 1.0, "new", "ok")))).quantiles == dict.fromkeys(["zulu", "alpha", "mike", "new"], ((), ()))


def test_totals_stay_when_panes_are_gone() -> None:
    """An hour later nothing is in the short windows, and everything in the totals."""
    merge, builder = Merge(), DetailsBuilder(CONFIG)
    for key, value in changelog_of(request((1.0, 1.0, "zulu", "ok"))):
        merge.add(key, value)
    for at_s in range(10, 7200, 50):
        merge.expire(T0 + at_s * 1000 - KEPT_MS)
        builder.update(T0 + at_s * 1000, merge)
    zulu = builder.details("chat", 1, 2).targets[0]
    assert (zulu.requests_total, {name: window.requests for name, window in zulu.windows.items()}) == (1, {"10s": 0, "1m": 0, "5m": 0, "1h": 0, "24h": 1})


@pytest.mark.parametrize(("targets", "moved"), [(3, {"10s", "1m", "5m", "1h", "24h"}), (120, {"10s", "1m", "5m"})])
def test_long_windows_of_many_targets_follow_in_steps(targets: int, moved: set[str]) -> None:
    """Each window says until when it goes; of few targets all end with the last pane, of many the long ones when that changes a hundredth."""
    config = Config(target=tuple(TargetConfig(id=f"t{i}", provider="p", model="m", service="chat") for i in range(targets)))
    builder, merge = DetailsBuilder(config), Merge()
    for key, value in changelog_of(request((1.0, 1.0, "t1", "ok"))):
        merge.add(key, value)
    builder.update(T0 + 2_000_000, merge)
    builder.details("chat", 1, 1)
    builder.update(T0 + 2_010_000, merge)
    windows = builder.details("chat", 1, 2).targets[1].windows
    assert {name for name, window in windows.items() if window.end_ms == T0 + 2_010_000} == moved
    builder.update(T0 + 2_030_000, merge)
    windows = builder.details("chat", 1, 3).targets[1].windows
    assert {window.end_ms for window in windows.values()} == {T0 + 2_030_000}
