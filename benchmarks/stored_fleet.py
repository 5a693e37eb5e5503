"""What a fleet of twenty targets leaves in InfluxDB, made by the sink's own translation: for the study and the tests of the dashboards.

Everything is a function of the end of time that is asked for. One target fails in two of five requests, and its breaker is open.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from routecast.analytics.sketch import bucket_of, encode_counts
from routecast.dashboards.influx.connection import Connection
from routecast.dashboards.influx.line_protocol import Destination, Line, Point
from routecast.dashboards.influx.schema import PIPELINE, PROVIDER_WINDOW
from routecast.dashboards.influx.writer import MOST_LINES
from routecast.dashboards.points.insights import insight_points
from routecast.dashboards.points.reports import event_points
from routecast.dashboards.points.scores import ScorePoints
from routecast.dashboards.points.translation import Translator
from routecast.dashboards.points.windows import window_points
from routecast.models.capacity import Capacity, ScaleHint
from routecast.models.config import Config, Influx
from routecast.models.events import Control, DecisionCount, Marker, RouterStats
from routecast.models.insights import Alert, Change, Subject, Trend, Trends
from routecast.models.metrics import CLOSED_WINDOWS, ClosedWindow, Distribution, WindowRecord
from routecast.models.severity import AlertKind, Severity
from routecast.models.snapshot import RoutingSnapshot, TargetScore

LENGTH_MS: Final[dict[ClosedWindow, int]] = {"10s": 10_000, "1m": 60_000, "1h": 3_600_000}
FAILING: Final = "target-03"
RECOVERED: Final = "target-07"
LASTING: Final[dict[str, tuple[AlertKind, Severity]]] = {
    FAILING: ("error_rate", "critical"), "target-09": ("response_time", "high"), "mail": ("throughput", "medium"), "target-11": ("quality", "low"),
}  # fmt: skip
"""Who has an alert that lasts, by subject."""
SERVICES: Final = ("chat", "mail")
_AFFECTED: Final = frozenset({FAILING, "provider-3", "mail", "system"})
"""It, and what it is part of."""
_DAY_BEFORE_S = 26 * 3600
"""Throughput is compared with that of the day before."""
_OPEN_S = 3000
_POOL = 24
"""Different windows of a subject; they repeat."""
_ANSWERS = 40


@dataclass(frozen=True)
class Span:
    """How much of each is stored, back from the end of time, s."""

    end_ms: int
    windows_s: dict[ClosedWindow, int]
    scores_s: int


def config() -> Config:
    """Twenty targets of two services, four providers, three models and two regions."""
    return Config.model_validate({"target": [_target(i) for i in range(20)]})


def _target(i: int) -> dict[str, str]:
    return {"id": f"target-{i:02}", "provider": f"provider-{i % 4}", "model": f"model-{i % 3}", "service": SERVICES[i % 2], "region": f"region-{i % 2}"}


def lines(span: Span) -> Iterator[Line]:
    """Every line of every measurement."""
    fleet, translator = config(), Translator(config())
    for points in (_windows(fleet, span), _scores(fleet, span), _news(fleet, span), _reports(span)):
        yield from map(translator.line, points)


def replayed(end_ms: int) -> Iterator[Line]:
    """Windows of two replayed runs, ten minutes of each."""
    for run in ("run-1", "run-2"):
        for line in lines(Span(end_ms, {"10s": 600, "1m": 600}, 0)):
            if line.measurement == PROVIDER_WINDOW.name:
                yield line._replace(text=line.text.replace(b",", b",run=" + run.encode() + b",", 1), destination=Destination("replay", "ms"))


def store(settings: Influx, token: str, made: Iterator[Line]) -> int:
    """Write them as the sink does, a bucket and precision at a time; how many there were."""
    connection, waiting, count = Connection(settings, token), dict[Destination, list[Line]](), 0
    for line in made:
        batch = waiting.setdefault(line.destination, [])
        batch.append(line)
        count += 1
        if len(batch) >= MOST_LINES:
            _write(connection, line.destination, waiting.pop(line.destination))
    for destination, batch in waiting.items():
        _write(connection, destination, batch)
    connection.close()
    return count


def _write(connection: Connection, destination: Destination, batch: Sequence[Line]) -> None:
    answer = connection.write(destination, batch)
    if answer.status != 204:
        raise SystemExit(f"InfluxDB refuses ({answer.status}): {answer.message}")


def _windows(fleet: Config, span: Span) -> Iterator[Point]:
    """Translating every window would take most of the time: a pool of them is translated, and then stands at other times."""
    for window in CLOSED_WINDOWS:
        length_ms = LENGTH_MS[window]
        for subject in _subjects(fleet):
            pool = [window_points(_record(subject, window, length_ms, number)) for number in range(_POOL)]
            longer_s = _DAY_BEFORE_S if window == "10s" and subject.kind in {"service", "system"} and span.scores_s else 0
            for number in range((span.windows_s.get(window, 0) + longer_s) * 1000 // length_ms):
                end_ms = (span.end_ms // length_ms - number) * length_ms
                points = pool[(end_ms // length_ms) % _POOL]
                kept = points if number * length_ms < span.windows_s[window] * 1000 else points[:1]
                yield from (point._replace(at_ms=end_ms) for point in kept)


def _subjects(fleet: Config) -> list[Subject]:
    targets = [Subject(kind="target", id=t.id, provider=t.provider, model=t.model, service=t.service, region=t.region) for t in fleet.target]
    providers = [Subject(kind="provider", id=name) for name in sorted({t.provider for t in fleet.target})]
    services = [Subject(kind="service", id=name, service=name) for name in SERVICES]
    return [*targets, *providers, *services, Subject(kind="system", id="system")]


def _record(subject: Subject, window: ClosedWindow, length_ms: int, number: int) -> WindowRecord:
    luck = random.Random(f"{subject.kind}/{subject.id}/{number}")
    many = {"target": 1, "provider": 5, "service": 10, "system": 20}[subject.kind] * length_ms // 10_000
    ok, failed = 30 * many, 20 * length_ms // 10_000 if subject.id in _AFFECTED else 0
    us = [int(luck.lognormvariate(13.5, 0.6)) for _ in range(_ANSWERS)]
    weights = {bucket_of(one): 0 for one in us}
    for one in us:
        weights[bucket_of(one)] += max(1, ok // _ANSWERS)
    n = sum(weights.values())
    duration = Distribution(n=n, sum_us=sum(us) * n // _ANSWERS, min_us=min(us), max_us=max(us), sketch=encode_counts(weights))
    return WindowRecord(
        kind=subject.kind, id=subject.id, provider=subject.provider, model=subject.model, service=subject.service, region=subject.region,
        window=window, start_ms=0, end_ms=length_ms, covered_ms=length_ms, version=1, ok=ok, error=failed // 2, timeout=failed // 4, rate_limited=failed // 4,
        cancelled=many, duration=duration, ttft=duration, tpot=duration, in_flight_max=9, input_tokens=500 * ok, output_tokens=150 * ok,
        cost_micro_usd=900 * ok, quality_n=many, quality_sum=many * 870_000, satisfaction_n=many, satisfaction_sum=many * 800_000, cpu_n=1, cpu_sum=400_000,
        memory_n=1, memory_sum=600_000, network_n=1, network_us_sum=3_000, queue_n=1, queue_depth_max=2,
    )  # fmt: skip


def _scores(fleet: Config, span: Span) -> Iterator[Point]:
    """Snapshots at every ten seconds; the state of the failing target changes once."""
    for service in SERVICES:
        points = ScorePoints()
        for at_ms in range(span.end_ms // 10_000 * 10_000 - span.scores_s * 1000, span.end_ms, 10_000):
            yield from points.of(_snapshot(fleet, service, at_ms, open_ms=span.end_ms - _OPEN_S * 1000))


def _snapshot(fleet: Config, service: str, at_ms: int, *, open_ms: int) -> RoutingSnapshot:
    luck = random.Random(at_ms)
    targets = fleet.targets_of(service)
    scores = tuple(
        TargetScore(
            id=target.id, state="open" if target.id == FAILING and at_ms >= open_ms else "ok", time_s=1.0, service_s=0.9, capacity=32.0,
            share=1 / len(targets), in_flight=luck.uniform(0, 20), in_flight_mean=9.0, cost_s=luck.uniform(1, 2), success=0.99, fail_s=1.0, quality=0.87,
            usd=0.001, headroom=0.7, score=luck.uniform(0.5, 0.9), load=0.8, history=0.7, real_time=0.6, n=900.0,
        )
        for target in targets
    )  # fmt: skip
    return RoutingSnapshot(service=service, term=1, seq=at_ms // 10_000, at_ms=at_ms, period_ms=1000, rate_per_s=60.0, routers=4, t_ref_s=1.0, targets=scores)


def _news(fleet: Config, span: Span) -> Iterator[Point]:
    """Insights of the last hour; one alert of each kind that lasts, one that is over."""
    end_ms, subjects = float(span.end_ms), {subject.id: subject for subject in _subjects(fleet)}
    for name, (kind, severity) in (*LASTING.items(), (RECOVERED, ("error_rate", "medium"))):
        ended_ms = end_ms - 600_000 if name == RECOVERED else None
        told = {"id": name, "incident": name, "notify": True, "kind": kind, "severity": severity, "subject": subjects[name], "title": f"{name} fails"}
        told |= {"rule": "threshold", "threshold": 0.15, "value": 0.4, "target": 0.005, "unit": "ratio", "started_ms": end_ms - 3_000_000}
        yield from insight_points(Alert.model_validate(told | {"version": 1, "state": "raised", "at_ms": end_ms - 3_000_000}))
        over = {"version": 2, "state": "cleared" if ended_ms else "updated", "at_ms": end_ms - 600_000, "ended_ms": ended_ms}
        yield from insight_points(Alert.model_validate(told | over))
    yield from insight_points(
        Change(id="c", version=1, subject=subjects["target-05"], metric="ttft", worse=True, since_ms=end_ms - 2_000_000, detected_ms=end_ms - 1_990_000,
               before=300.0, after=900.0, statistic=12.0, threshold=8.0, n=120)
    )  # fmt: skip
    for minute in range(60):
        at_ms = end_ms - minute * 60_000
        for service in SERVICES:
            hint = ScaleHint(action="up", slots=3, reason="r")
            yield from insight_points(
                Capacity(service=service, at_ms=at_ms, now_per_min=1800.0, sustainable_per_min=2600.0, low_per_min=2400.0, high_per_min=2800.0,
                         limit_ms=500.0, wait_p95_ms=40.0, scale=hint)
            )  # fmt: skip
            trends = [
                Trend(subject=subject, metric="response_time", trend="declining", current=900.0, previous=700.0, change=200.0, change_ratio=0.29,
                      confidence=0.99, windows=60, window_ms=60_000, end_ms=at_ms)
                for subject in subjects.values() if subject.kind == "target" and subject.service == service
            ]  # fmt: skip
            yield from insight_points(Trends(service=service, at_ms=at_ms, trends=tuple(trends)))


def _reports(span: Span) -> Iterator[Point]:
    """Routers, the sink, and people."""
    first_ms = span.end_ms // 10_000 * 10_000 - span.scores_s * 1000
    for at_ms in range(first_ms, span.end_ms, 10_000):
        for service in SERVICES:
            counts = (
                DecisionCount(service=service, policy="performance", count=290, outcome="ok"),
                DecisionCount(service=service, policy="performance", count=10, outcome="error"),
                DecisionCount(service=service, policy="performance", count=4, reason="probe"),
            )  # fmt: skip
            stats = RouterStats(at_ms=at_ms, decisions=counts, snapshot_age_ms=600.0, queue=2, dropped=0, decision_us_p50=4.2, decision_us_p99=9.0)
            yield from event_points(stats, f"events/0/{at_ms}/0")
        yield Point(PIPELINE, ("sink", "host-1"), at_ms, (12, 0, 55.0, 30.0, 80.0, 1))
        yield Point(PIPELINE, ("worker", "host-1-1"), at_ms, (3, 0, 40.0, 2.0, 90.0, None))
        yield Point(PIPELINE, ("leader", "host-1-1"), at_ms, (None, None, None, 8.0, None, None))
    yield from event_points(Marker(at_ms=span.end_ms - 1_500_000, title="deployed", text="v2"), "events/0/1/0")
    yield from event_points(Control(at_ms=span.end_ms - 1_200_000, target=FAILING, action="drain"), "control/0/1/0")
