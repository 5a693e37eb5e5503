"""Changing a configuration key changes what it should, and nothing else.

A fixed history of three targets goes through the pipeline under each configuration; whatever a user can see of the result is held
beside the result under the defaults. `a` is fast, `b` slow and failing at times, `c` fails often, then recovers.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from routecast.analytics.balance import POLICIES
from routecast.analytics.routing.candidates import bootstrap, candidates, view_of
from routecast.analytics.routing.contention import LOAD_NORM, Contention, Target
from routecast.cli.keys import keys
from routecast.models.config import Config
from routecast.models.requirements import NONE, Requirements
from routecast.models.snapshot import decode_snapshot
from routecast.streams.clock import FixedClock
from routecast.streams.emitter import Emitter
from routecast.streams.router import Router
from routecast.testing import Fleet

SECONDS = {"a": 0.3, "b": 1.5, "c": 0.7}
FAIL_RATIO = {"a": 0.0, "b": 0.004, "c": 0.1}


def _config(changes: Mapping[str, Any]) -> Config:
    target = [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in SECONDS]
    table: dict[str, Any] = {"target": target}
    for key, value in changes.items():
        *path, last = key.split(".")
        inner: dict[str, Any] = target[0] if path == ["target"] else table
        for part in path if path != ["target"] else ():
            inner = inner.setdefault(part, {})
        inner[last] = value
    return Config.model_validate(table)


def _history(fleet: Fleet, seconds: float) -> None:
    """The same requests whatever is configured: the application chooses by itself."""
    luck, emitter = random.Random(5), fleet.router(0).emitter
    end_ms, at_ms = fleet.now_ms + seconds * 1000, fleet.now_ms
    while at_ms < end_ms:
        at_ms += luck.expovariate(0.02)
        name = luck.choice("abc")
        late = at_ms > fleet.now_ms + 0
        fleet.advance_to(at_ms)
        slow = 3.0 if name == "b" and at_ms > end_ms - 8_000 else 1.0
        failed = luck.random() < FAIL_RATIO[name] or (name == "c" and end_ms - 40_000 < at_ms < end_ms - 34_000)
        duration_ms = SECONDS[name] * 1000 * slow * luck.lognormvariate(0, 0.3)
        fields: dict[str, Any] = {"service": "chat", "at_ms": at_ms, "started_at_ms": at_ms - duration_ms, "input_tokens": 500, "output_tokens": 100}
        emitter.completed(f"{at_ms}-{late}", name, "error" if failed else "ok", duration_ms, **fields)


@cache
def _seen(*changes: tuple[str, Any]) -> dict[str, object]:
    """What can be seen of a run, by name."""
    config = _config(dict(changes))
    fleet = Fleet(config, routers=1, seed=1)
    _history(fleet, 130.0)
    log, snapshot = fleet.pipeline.log, fleet.snapshot()
    assert snapshot is not None
    snapshots = [decode_snapshot(record.value or b"") for record in log.read("scores", 0, 0)]
    clock = FixedClock(snapshot.at_ms)
    router = Router(config, "chat", Emitter(clock), clock, random.Random(1))
    router.apply(snapshot)
    routing, targets = config.routing_for("chat"), config.targets_of("chat")
    view, demanding = view_of(snapshot, targets, bootstrap(targets)), Requirements(quality_threshold=0.99, max_response_time_ms=400)
    table, asked = (candidates(view, routing, requirements, (), random.Random(1)).table for requirements in (NONE, demanding))
    contention = Contention(1, routing.factor_weights.current_load / LOAD_NORM)
    contention.take(0.0, 1000.0, [Target(6.0, 6.0, 4.0, 1.0)], [0])
    contention.refresh(0.0, 1.0)
    seen: dict[str, object] = {name: [getattr(target, name) for target in snapshot.targets] for name in snapshot.targets[0].__struct_fields__}
    return seen | {
        "states": [[target.state for target in s.targets] for s in snapshots[::5]],
        "period": snapshot.period_ms,
        "details": log.end("details", 0),
        "policy": router.choose().policy,
        "load term": contention.terms,
        "weighted": sorted(table.scores),
        "greedy": sorted(table.factors),
        "requirements": sorted(cost / table.costs[table.index.index(i)] for i, cost in zip(asked.index, asked.costs, strict=True)),
        "drawn": [(decision.target, decision.propensity) for decision in (router.choose() for _ in range(40))],
    }


FIGURES = {"cost_s", "share", "score", "history", "real_time", "weighted", "greedy", "drawn", "requirements"}
ACTS: list[tuple[str, Any, set[str], set[str]]] = [
    # key, another value, what must change, what may change with it
    ("target.weight", 2.0, {"weight", "weighted"}, {"drawn"}),
    ("target.capacity", 1, {"capacity"}, {"share", "load", "drawn", "greedy", *FIGURES, "time_s", "service_s", "spread", "fail_s"}),
    ("target.requests_per_min", 600.0, {"headroom", "share"}, {"drawn"}),
    ("target.tokens_per_min", 300_000.0, {"headroom", "share"}, {"drawn"}),
    ("target.input_usd_per_mtok", 5.0, {"usd"}, set()),
    ("target.output_usd_per_mtok", 5.0, {"usd"}, set()),
    ("target.quality", 0.3, {"quality", "score", "cost_s"}, FIGURES),
    ("routing.policy", "round_robin", {"policy"}, {"drawn"}),
    ("routing.score_weights.response_time", 0.9, {"score", "cost_s"}, FIGURES),
    ("routing.score_weights.reliability", 0.9, {"score", "cost_s"}, FIGURES),
    ("routing.score_weights.quality", 0.9, {"score"}, FIGURES),
    ("routing.factor_weights.current_load", 0.5, {"load term", "greedy"}, {"drawn"}),
    ("routing.factor_weights.history", 3.0, {"greedy", "service_s"}, {*FIGURES, "time_s", "fail_s", "capacity", "spread"}),
    ("routing.factor_weights.real_time", 0.03, {"greedy", "service_s"}, {*FIGURES, "time_s", "fail_s", "capacity", "spread"}),
    ("routing.factor_weights.requirements", 0.6, {"requirements", "greedy"}, {"drawn"}),
    (
        "routing.failover_threshold",
        0.97,
        {"states"},
        {"state", "ramp", "n", "success", "quality_n", "time_s", "service_s", "spread", "fail_s", "capacity", "load", *FIGURES},
    ),
    ("routing.objective.success_ratio", 0.8, {"states"}, {"state"}),
    ("routing.newcomer_share", 0.9, set(), set()),  # all three begin together: tests/test_cold_start.py has a newcomer
    ("adaptive.enabled", False, {"policy"}, {"drawn"}),
    ("adaptive.learning_rate", 1.0, {"success", "service_s", "time_s", "spread"}, {*FIGURES, "fail_s", "quality"}),
    ("adaptive.adaptation_threshold", 0.9, {"share"}, {"drawn"}),
    ("adaptive.history_size", 20, {"history"}, {"greedy", "states", "state"}),
    ("intervals.snapshot_ms", 2000.0, {"period"}, set()),
    ("intervals.metrics_ms", 20_000.0, {"details"}, {"ttft_ms", "requirements"}),
    ("intervals.health_check_ms", 5000.0, set(), {"states"}),
]
INERT: list[tuple[str, Any]] = [
    ("target.region", "eu"),
    ("target.requests_per_day", 1000.0),
    ("target.tokens_per_day", 1e6),
    ("routing.objective.within_ms", 1.0),
    ("routing.call", {"attempts": 1, "deadline_ms": 1.0, "retry_ratio": 0.0, "retry_reserve": 0.0}),
    ("routing.overflow", {"enabled": False, "queue": 1, "limit": 2.0, "fitted_limit": 2.0}),
    ("routing.hedging", {"enabled": True, "token_ratio": 1.0}),
    ("thresholds.response_time_ms", {"warning": 1, "critical": 2}),
    ("thresholds.error_ratio", {"warning": 0.5, "critical": 0.6}),
    ("thresholds.throughput_per_min", {"minimum": 1, "target": 2}),
    ("thresholds.quality", {"minimum": 0.1, "target": 0.2}),
    ("alerts", {"webhook_file": "x", "timeout_ms": 500.0}),
    ("intervals.analysis_ms", 2000.0),
    ("planning", {"enabled": False, "wait_p95_ms": 100.0}),
    ("intervals.alert_check_ms", 2000.0),
    ("intervals.election_ms", 2000.0),
    ("kafka", {"bootstrap": "elsewhere:1", "prefix": "x.", "partitions": 7, "replication": 3, "session_timeout_ms": 9000}),
    ("kafka", {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "username": "u", "password_file": "f", "ca_file": "c"}),
    ("kafka", {"cert_file": "c", "key_file": "k"}),
    ("influx.url", "http://elsewhere"),
    ("influx.organisation", "x"),
    ("influx.bucket_prefix", "x"),
    ("influx.token_file", "x"),
    ("influx.read_token_file", "x"),
    ("influx.admin_token_file", "x"),
]
"""Keys that decisions do not hang on: the region, which acts only where a request asks for one, those of `Router.call` (what they do: tests/streams/calls),
elections (tests/test_auto.py), limits of a day, which only capacity reckons with, alerts and what else is for people, how log and InfluxDB are reached."""


def _changed(key: str, value: object) -> set[str]:
    frozen = tuple(value.items()) if isinstance(value, dict) else None
    pairs = [(f"{key}.{name}", inner) for name, inner in frozen] if frozen else [(key, value)]
    base, other = _seen(), _seen(*pairs)
    return {name for name in base if base[name] != other[name]}


@pytest.mark.parametrize(("key", "value", "must", "may"), ACTS, ids=[act[0] for act in ACTS])
def test_a_key_changes_what_it_should_and_nothing_else(key: str, value: object, must: set[str], may: set[str]) -> None:
    """What must change does; nothing does that may not."""
    changed = _changed(key, value)
    if key == "intervals.snapshot_ms":
        assert "period" in changed
        return
    assert must <= changed
    assert changed - must <= may


@pytest.mark.parametrize(("key", "value"), INERT, ids=[act[0] for act in INERT])
def test_a_key_of_something_else_changes_nothing(key: str, value: object) -> None:
    """Of what routers decide and what the leader tells them."""
    assert _changed(key, value) == set()


def test_the_price_acts_once_a_second_is_worth_something() -> None:
    """`usd_per_second` turns prices into cost."""
    price = ("target.output_usd_per_mtok", 50.0)
    base, other = _seen(price), _seen(price, ("routing.usd_per_second", 0.001))
    assert {name for name in base if base[name] != other[name]} >= {"cost_s", "share"}
    assert _seen(("routing.usd_per_second", 0.001)) == _seen()


def test_the_longest_wait_for_a_probe_acts_after_repeated_failures() -> None:
    """A target that stays dead is asked every `health_check_ms` at the latest."""
    probes: dict[float, int] = {}
    for wait_ms in (5_000.0, 30_000.0):
        fleet = Fleet(_config({"intervals.health_check_ms": wait_ms}), routers=1, seed=1)
        for _ in range(240):
            for name in ("a", "a", "b"):
                fleet.router(0).emitter.completed("x", name, "error" if name == "b" else "ok", 5.0, service="chat")
            fleet.advance_to(fleet.now_ms + 500)
        records = fleet.pipeline.log.read("scores", 0, 0)
        states = [{t.id: t.state for t in decode_snapshot(record.value or b"").targets}["b"] for record in records]
        probes[wait_ms] = states.count("recovering")
    assert probes[5_000.0] > 1.5 * probes[30_000.0]


def test_an_override_acts_on_its_service_alone() -> None:
    """`[service.NAME]` for one, `[routing]` for the others."""
    targets = [{"id": s, "provider": "p", "model": "m", "service": s} for s in ("chat", "mail")]
    config = Config.model_validate({"target": targets, "service": {"mail": {"policy": "round_robin"}}})
    clock = FixedClock(0.0)
    policies = {s: Router(config, s, Emitter(clock), clock, random.Random(1)).choose().policy for s in ("chat", "mail")}
    assert policies == {"chat": "performance", "mail": "round_robin"}


def test_every_key_is_looked_at() -> None:
    """A new key must be put into one of the tables above."""
    labels = {"target.id", "target.provider", "target.model", "target.service", "routing.usd_per_second", "routing.budget_usd_per_request"}
    looked = {key for key, *_ in ACTS} | {key for key, _ in INERT} | labels
    missing = [
        item.key for item in keys() if not item.key.startswith("service.") and not any(item.key == key or item.key.startswith(f"{key}.") for key in looked)
    ]
    assert missing == []
    assert set(POLICIES) >= {"performance", "weighted", "least_connections", "round_robin", "greedy", "random", "learned", "auto"}
