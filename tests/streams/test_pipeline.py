from __future__ import annotations

import json
import random
from collections import Counter
from hashlib import sha256

import pytest

from routecast.models.config import Config
from routecast.models.events import Outcome, RouterStats, Started, Tripped, encode_events
from routecast.models.snapshot import encode_snapshot
from routecast.models.tick import TickRecord, decode_tick
from routecast.streams.clock import FixedClock
from routecast.streams.memory import MemoryLog
from routecast.streams.pipeline import Pipeline
from routecast.streams.topics import TRIPS
from routecast.testing import Fleet

OUTCOMES: list[Outcome] = ["ok", "error", "timeout", "rate_limited", "cancelled"]
CONFIG = Config.model_validate({"target": [{"id": f"t{i}", "provider": f"p{i % 2}", "model": "m", "service": "chat"} for i in range(5)]})


def _traffic(fleet: Fleet, seed: int, requests: int = 800) -> Counter[tuple[str, str]]:
    """Random requests over all routers with every kind of end; the true counts."""
    luck, truth = random.Random(seed), Counter[tuple[str, str]]()
    for _ in range(requests):
        fleet.advance_to(fleet.now_ms + luck.expovariate(0.05))
        router = fleet.router(luck.randrange(4))
        outcome = luck.choices(OUTCOMES, [80, 5, 3, 4, 8])[0]
        if luck.random() < 0.05:
            router.emitter.completed(f"o{luck.random()}", "t1", "ok", 100.0, service="chat")
            truth["t1", "ok"] += 1
            continue
        call = router.start(router.choose())
        fleet.queue.after(luck.lognormvariate(6, 1), call.finish, outcome)
        truth[call.decision.target, outcome] += 1
    fleet.advance_to(fleet.now_ms + 60_000)
    return truth


@pytest.mark.parametrize(("seed", "partitions"), [(1, 1), (2, 4), (3, 3)])
def test_counts_are_exact_from_end_to_end(seed: int, partitions: int) -> None:
    """Every outcome of every target over several emitters and partitions, nothing left in flight."""
    fleet = Fleet(CONFIG, routers=4, seed=seed, partitions=partitions)
    truth = _traffic(fleet, seed)
    details = fleet.details()
    assert details is not None
    counted = {(t.id, name): n for t in details.targets for name, n in t.outcomes_total.model_dump().items() if n}
    assert counted == dict(truth)
    assert details.system.requests_total == truth.total()
    assert details.system.in_flight == 0
    snapshot = fleet.snapshot()
    assert snapshot is not None
    assert {target.in_flight for target in snapshot.targets} == {0.0}


def test_bad_records_go_to_the_dead_letters_and_spoil_nothing() -> None:
    """With topic, partition, offset and reason; the good objects of the same array count."""
    fleet = Fleet(CONFIG, routers=1, seed=1)
    good = encode_events([Started(at_ms=fleet.now_ms, request_id="1", target="t1", service="chat")])[1:-1]
    log = fleet.pipeline.log
    for record in (b"not json", b'[{"type":"request.started"},' + good + b"]", b"{}"):
        log.append("events", record)
    fleet.advance_to(fleet.now_ms + 13_000)
    letters = log.read("deadletter", 0, 0)
    assert [letter.value for letter in letters] == [b"not json", b'{"type":"request.started"}', b"{}"]
    assert [letter.key.decode().split(":")[0] for letter in letters] == [f"events/0/{record.offset}" for record in log.read("events", 0, 0)[:3]]
    details = fleet.details()
    assert details is not None
    assert next(t for t in details.targets if t.id == "t1").in_flight == 1


def test_a_tick_names_what_went_into_the_snapshot() -> None:
    """Offsets of every partition, and the hash of the record that follows it."""
    fleet = Fleet(CONFIG, routers=4, seed=2, partitions=2)
    _traffic(fleet, 2, 100)
    log = fleet.pipeline.log
    ticks = [tick for record in log.read("ticks", 0, 0) if isinstance(tick := decode_tick(record.value or b""), TickRecord)]
    snapshots = {(s["term"], s["seq"]): record.value for record in log.read("scores", 0, 0) for s in [json.loads(record.value or b"")]}
    assert all(tick.sha256 == {"chat": sha256(snapshots[tick.term, tick.seq] or b"").hexdigest()} for tick in ticks)
    assert [tick.seq for tick in ticks] == list(range(1, len(ticks) + 1))
    assert ticks[-1].offsets == {partition: log.end("events", partition) - 1 for partition in (0, 1) if log.end("events", partition)}
    assert ticks[-1].config_version == CONFIG.version
    assert ticks[-1].routers == 4


def test_a_failing_target_is_published_before_its_time() -> None:
    """At long periods an outage must not wait."""
    fleet = Fleet(CONFIG, routers=1, seed=1, period_ms=15_000)
    router = fleet.router(0)
    fleet.advance_to(fleet.now_ms + 15_300)
    snapshot = fleet.snapshot()
    assert snapshot is not None
    before = snapshot.seq
    for _ in range(6):
        router.emitter.completed("x", "t2", "error", 5.0, service="chat")
    fleet.advance_to(fleet.now_ms + 800)
    after = fleet.snapshot()
    assert after is not None
    assert after.seq > before
    assert {t.id: t.state for t in after.targets}["t2"] == "open"


def test_a_surge_is_published_before_its_time() -> None:
    """When arrivals change by a fifth, and more than by chance."""
    fleet = Fleet(CONFIG, routers=1, seed=1, period_ms=15_000)
    router = fleet.router(0)

    def requests(seconds: float, per_s: float) -> None:
        for _ in range(int(seconds * per_s)):
            fleet.advance_to(fleet.now_ms + 1000 / per_s)
            router.start(router.choose()).finish()

    requests(30, 50)
    snapshot = fleet.snapshot()
    assert snapshot is not None
    assert snapshot.rate_per_s == pytest.approx(50, rel=0.1)
    requests(4, 150)
    surged = fleet.snapshot()
    assert surged is not None
    assert surged.seq > snapshot.seq
    assert surged.rate_per_s > 100


def test_targets_that_only_events_know_are_discovered() -> None:
    """They are scored with defaults; routers still choose only what they are configured for."""
    fleet = Fleet(CONFIG, routers=1, seed=1)
    fleet.router(0).emitter.completed("x", "newcomer", "ok", 500.0, service="chat", provider="p9", model="m9")
    fleet.advance_to(fleet.now_ms + 3000)
    snapshot = fleet.snapshot()
    assert snapshot is not None
    assert "newcomer" in {target.id for target in snapshot.targets}
    assert "newcomer" not in {fleet.router(0).choose().target for _ in range(300)}


def test_a_snapshot_of_twenty_streaming_targets_stays_small() -> None:
    """At most 16 kB with all quantiles: every router of a fleet gets one every second."""
    targets = [{"id": f"openai-gpt-4o-region-{i:02}", "provider": "openai", "model": "m", "service": "chat"} for i in range(20)]
    fleet, luck = Fleet(Config.model_validate({"target": targets}), routers=2, seed=1, policy="round_robin"), random.Random(1)
    for _ in range(1500):
        router = fleet.router(luck.randrange(2))
        call = router.start(router.choose())
        duration_ms = luck.lognormvariate(7, 0.5)
        call.first_chunk(after_ms=duration_ms / 4)
        call.tokens(input=500, output=luck.randrange(50, 300))
        fleet.queue.after(duration_ms, call.finish)
        fleet.advance_to(fleet.now_ms + 30)
    snapshot = fleet.snapshot()
    assert snapshot is not None
    assert sum(len(target.ttft_ms) + len(target.tpot_ms) for target in snapshot.targets) == 640
    assert len(encode_snapshot(snapshot)) <= 16_384


def test_a_router_of_another_service_is_no_second_opinion() -> None:
    """The only router of a service finds that a target fails: with nobody else to ask, the pooled evidence opens it for good."""
    targets = [{"id": name, "provider": name, "model": "m", "service": service} for name, service in (("good", "chat"), ("bad", "chat"), ("x", "search"))]
    fleet = Fleet(Config.model_validate({"target": targets}), routers=1, service="chat", seed=3)
    states = []
    for _ in range(30):
        fleet.pipeline.log.append("events", encode_events([RouterStats(at_ms=fleet.now_ms, emitter="elsewhere", services=("search",))]))
        for _ in range(10):
            fleet.advance_to(fleet.now_ms + 100)
            call = fleet.router(0).start(fleet.router(0).choose())
            fleet.queue.after(50.0, call.finish, "error" if call.decision.target == "bad" else "ok")
        snapshot = fleet.snapshot()
        assert snapshot is not None
        states.append(next(target.state for target in snapshot.targets if target.id == "bad"))
    assert set(states[10:]) <= {"open", "recovering"}, states


def test_details_of_many_services_are_read_before_they_make_room() -> None:
    """Also where a router's word has them published before the rows are written, which is when the log used to be cleared."""
    config = Config.model_validate({"target": [{"id": f"t{i}", "provider": "p", "model": "m", "service": f"s{i}"} for i in range(12)]})
    clock = FixedClock(1_700_000_000_000.0)
    pipeline = Pipeline(config, MemoryLog(clock), clock.at_ms)
    described = list[int]()
    for second in range(12):
        clock.at_ms += 1000.0
        pipeline.log.append(TRIPS, encode_events([Tripped(at_ms=clock.at_ms, emitter=f"router {second}", target=f"t{second}")]))
        assert pipeline.publish(clock.at_ms)
        pipeline.flush()
        described.append(len(pipeline.news().details))
    assert Counter(described) == {0: 11, 12: 1}
