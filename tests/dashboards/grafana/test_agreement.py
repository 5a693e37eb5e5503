"""One incident, two judges: alerts in the stream, and Grafana's rules on what the sink stored of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from grafana_queries import asked, queries, substituted

from routecast.analytics.alerts.alerts import Alerts
from routecast.analytics.pane import MILLION
from routecast.analytics.sketch import bucket_of, encode_counts
from routecast.analytics.windows.period import Period
from routecast.dashboards.influx.line_protocol import Line
from routecast.dashboards.points.translation import Translator
from routecast.models.config import Config, Influx
from routecast.models.insights import Alert, Subject
from routecast.models.metrics import ClosedWindow, Distribution, WindowRecord

MINUTE_MS = 60_000
PERIOD_MS = 10_000
BEGINS, ENDS, OVER = 70, 95, 103
"""Minutes: the incident begins, ends, and the story is over."""
CONFIG = Config.model_validate({
    "target": [{"id": name, "provider": f"p-{name}", "model": "m", "service": "chat"} for name in ("failing", "slow", "poor", "well", "fine", "good", "calm")]
})  # fmt: skip
TARGETS = [Subject(kind="target", id=t.id, provider=t.provider, model=t.model, service=t.service) for t in CONFIG.target]
SUBJECTS = (Subject(kind="system", id="system"), *TARGETS, Subject(kind="service", id="chat", service="chat"))
LENGTHS_MS: dict[ClosedWindow, int] = {"10s": PERIOD_MS, "1m": MINUTE_MS, "1h": 60 * MINUTE_MS}


class Figures(NamedTuple):
    """What one target did in ten seconds."""

    ok: int
    error: int
    ms: int
    quality: float


def _figures(name: str, minute: float) -> Figures:
    """A hundred requests a minute and target; three targets have a trouble each, of one kind."""
    troubled = BEGINS <= minute < ENDS
    failed = 7 if troubled and name == "failing" else 0
    return Figures(17 - failed, failed, 14_000 if troubled and name == "slow" else 900, 0.2 if troubled and name == "poor" else 0.93)


def _period(start_ms: int, found: dict[str, Figures]) -> Period:
    def of(value: Callable[[Figures], float]) -> Any:
        values = [value(found[target.id]) for target in TARGETS]
        return np.array([sum(values), *values, sum(values)], float)

    zero, ok, error = np.zeros(len(SUBJECTS)), of(lambda f: f.ok), of(lambda f: f.error)
    late = CONFIG.routing.objective.within_ms
    return Period(
        start_ms=start_ms, end_ms=start_ms + PERIOD_MS, subjects=SUBJECTS, ok=ok, error=error, timeout=zero, rate_limited=zero, requests=ok + error,
        slow=of(lambda f: f.ok if f.ms > late else 0), duration_n=ok, duration_ms=of(lambda f: f.ok * f.ms), ttft_n=zero, ttft_ms=zero, tpot_n=zero,
        tpot_ms=zero, quality_n=ok, quality_sum=of(lambda f: f.ok * f.quality), cost_usd=zero,
    )  # fmt: skip


def _records(origin_ms: int, story: list[dict[str, Figures]]) -> Iterator[WindowRecord]:
    """Closed windows of every length of every subject."""
    for window, length_ms in LENGTHS_MS.items():
        many = length_ms // PERIOD_MS
        for first in range(0, len(story) // many * many, many):
            for subject in SUBJECTS:
                names = [subject.id] if subject.kind == "target" else [target.id for target in TARGETS]
                parts = [period[name] for period in story[first : first + many] for name in names]
                yield _record(subject, window, origin_ms + first * PERIOD_MS, length_ms, parts)


def _record(subject: Subject, window: ClosedWindow, start_ms: int, length_ms: int, parts: list[Figures]) -> WindowRecord:
    counts: dict[int, int] = {}
    for part in parts:
        counts[bucket_of(part.ms * 1000)] = counts.get(bucket_of(part.ms * 1000), 0) + part.ok
    us, ok = [part.ms * 1000 for part in parts], sum(part.ok for part in parts)
    duration = Distribution(n=ok, sum_us=sum(part.ok * part.ms * 1000 for part in parts), min_us=min(us), max_us=max(us), sketch=encode_counts(counts))
    return WindowRecord(
        kind=subject.kind, id=subject.id, provider=subject.provider, model=subject.model, service=subject.service, window=window, start_ms=start_ms,
        end_ms=start_ms + length_ms, covered_ms=length_ms, version=1, ok=ok, error=sum(part.error for part in parts), duration=duration, quality_n=ok,
        quality_sum=round(sum(part.ok * part.quality for part in parts) * MILLION),
    )  # fmt: skip


class Story(NamedTuple):
    """What the stream said, and where the windows are."""

    origin_ms: int
    said: list[Alert]
    settings: Influx
    token: str

    def firing(self, at_ms: float, of: Container[str] | None = None) -> set[tuple[str, str, str]]:
        """Kind, severity and subject of everything that Grafana's rules hold of at this time; of some rules where they are named."""
        config = CONFIG.model_copy(update={"influx": self.settings})
        found: set[tuple[str, str, str]] = set()
        for query in queries(config):
            if query.kind != "rule" or "pipeline" in query.file or (of is not None and query.where not in of):
                continue
            kind, severity = query.where.removeprefix("routecast-").rsplit("-", 1)
            rows = asked(self.settings, self.token, substituted(query.text, {}, end_ms=round(at_ms) + 1000, range_s=3600))
            found |= {(kind.replace("-", "_"), severity, _subject(row)) for row in rows if float(row["_value"]) > 1}
        return found


def _subject(row: dict[str, str]) -> str:
    return row["target"] if row["target"] != "_all" else {"_all": "system"}.get(row["service"], row["service"])


@pytest.fixture
def story(write: Callable[[list[Line]], Influx], store: Any) -> Story:
    """An hour and three quarters, 25 minutes of them an incident of three targets of seven."""
    origin_ms = round(time.time() * 1000) // (60 * MINUTE_MS) * 60 * MINUTE_MS - 2 * 60 * MINUTE_MS
    told = [{name.id: _figures(name.id, number * PERIOD_MS / MINUTE_MS) for name in TARGETS} for number in range(OVER * MINUTE_MS // PERIOD_MS)]
    alerts, said = Alerts(CONFIG), list[Alert]()
    for number, found in enumerate(told):
        said += alerts.check(_period(origin_ms + number * PERIOD_MS, found), {})
    translator = Translator(CONFIG)
    settings = write([line for record in _records(origin_ms, told) for line in translator.record("metrics", "metrics/0/1", record.encode()).lines])
    return Story(origin_ms, said, settings, store.token)


@pytest.mark.timeout(300)
def test_rules_and_the_stream_agree_on_an_incident(story: Story) -> None:
    """What the stream raises, a rule of the same kind and severity holds of at that time; before and long after nothing holds that would wake."""
    raised = [alert for alert in story.said if alert.state == "raised" or (alert.state == "updated" and alert.at_ms < story.origin_ms + ENDS * MINUTE_MS)]
    first = {(alert.kind, alert.severity, alert.subject.id): alert.at_ms for alert in reversed(raised)}
    assert {("error_rate", "critical", "failing"), ("response_time", "critical", "slow"), ("quality", "medium", "poor")} <= first.keys()
    names = {rule: f"routecast-{rule[0].replace('_', '-')}-{rule[1]}" for rule in first}
    missed = {rule: at_ms for rule, at_ms in first.items() if rule not in story.firing(at_ms, {names[rule]})}
    assert missed == {}
    assert story.firing(story.origin_ms + (BEGINS - 1) * MINUTE_MS) == set()
    during = story.firing(story.origin_ms + (BEGINS + 22) * MINUTE_MS)
    assert {subject for _, _, subject in during} <= {"failing", "slow", "poor", "chat", "system"}
    waking = {(kind, subject) for kind, severity, subject in during if severity in {"critical", "high"}}
    assert waking == {("error_rate", "failing"), ("response_time", "slow")}
    after = story.firing(story.origin_ms + (ENDS + 6) * MINUTE_MS)
    assert {rule for rule in after if rule[1] == "critical"} == set()
