"""Recorded incidents, two who speak of them: alerts in the stream, and Grafana's rules on what the sink stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
from grafana_queries import asked, substituted
from recorded_incidents import recorded

from routecast.analytics.alerts.alerts import Alerts
from routecast.analytics.alerts.rules import KINDS
from routecast.analytics.alerts.silences import Match
from routecast.analytics.windows.period import Period
from routecast.dashboards.grafana.rules import EVERY_S, rule_groups
from routecast.dashboards.influx.line_protocol import Line
from routecast.dashboards.points.translation import Translator
from routecast.models.config import Config, Influx
from routecast.models.insights import Alert, Subject, encode_insight
from routecast.models.severity import SEVERITIES
from routecast.models.snapshot import State

MINUTE_MS = 60_000
PERIOD_MS = 10_000
STORED_MS = 1000
"""So long after it was said a word is stored; rules look every ten seconds."""
SPOKEN_OF = {
    "demonstration": {("error_rate", "critical", "groq_70b"), ("error_rate", "critical", "together_70b")},
    "demonstration, four times its traffic": {("error_rate", "critical", "groq_70b"), ("error_rate", "critical", "together_70b")},
    "one trouble of each kind": {
        ("error_rate", "critical", "failing"), ("error_rate", "medium", "failing"),
        ("response_time", "critical", "slow"), ("quality", "medium", "poor"), ("throughput", "medium", "chat"),
    },
}  # fmt: skip
"""By story, what there must be to agree on."""

Verdict = tuple[str, str, str]
"""Kind, severity and subject of an alert that somebody should look at."""
Moment = tuple[Period, Mapping[str, State]]


def _demonstration(traffic: int) -> tuple[Config, Callable[[int], Iterator[Moment]]]:
    """Its storm, outage, slow-down and partial failure, as they were recorded."""
    found = recorded(traffic)
    return found.config, lambda origin_ms: (found.period(number, origin_ms) for number in range(len(found.counts)))


def _one_of_each() -> tuple[Config, Callable[[int], Iterator[Moment]]]:
    """From the 20th minute to the 45th targets fail, are slow and answer badly; one fails a little up to the 60th; then for seven minutes nobody asks."""
    names = ("failing", "slow", "poor", "well", "fine", "good", "calm")
    config = Config.model_validate({"target": [{"id": name, "provider": f"p-{name}", "model": "m", "service": "chat"} for name in names]})
    targets = [Subject(kind="target", id=t.id, provider=t.provider, model=t.model, service=t.service) for t in config.target]
    subjects = (Subject(kind="system", id="system"), *targets, Subject(kind="service", id="chat", service="chat"))

    def period(start_ms: int, minute: float) -> Period:
        troubled, asked_for = 20 <= minute < 45, not 60 <= minute < 67

        def of(value: Callable[[str], float]) -> Any:
            values = [asked_for * value(name) for name in names]
            return np.array([sum(values), *values, sum(values)], float)

        failures = 70 if troubled else 10 if 45 <= minute < 60 else 0
        none, error = np.zeros(len(subjects)), of(lambda name: failures * (name == "failing"))
        ok, late = of(lambda _: 170) - error, of(lambda name: 170 * (troubled and name == "slow"))
        return Period(
            start_ms=start_ms, end_ms=start_ms + PERIOD_MS, subjects=subjects, ok=ok, error=error, timeout=none, rate_limited=none, requests=ok + error,
            slow=late, duration_n=ok, duration_ms=900 * (ok - late) + 14_000 * late, ttft_n=none, ttft_ms=none, tpot_n=none, tpot_ms=none, quality_n=ok,
            quality_sum=of(lambda name: 170 * (0.2 if troubled and name == "poor" else 0.93)), cost_usd=none,
        )  # fmt: skip

    return config, lambda origin_ms: ((period(origin_ms + PERIOD_MS * n, n / 6), {}) for n in range(80 * 6))


STORIES = {
    "demonstration": lambda: _demonstration(1),
    "demonstration, four times its traffic": lambda: _demonstration(4),
    "one trouble of each kind": _one_of_each,
}


class Played(NamedTuple):
    """What the stream said of a story, and thought of it."""

    said: list[Alert]
    verdicts: list[tuple[float, frozenset[Verdict]]]
    """At the end of each period."""


def _play(config: Config, moments: Iterator[Moment]) -> Played:
    """People silence the first alert for two minutes, half a minute after it was raised."""
    alerts, said, verdicts, silenced = Alerts(config), list[Alert](), list[tuple[float, frozenset[Verdict]]](), False
    for period, states in moments:
        if said and not silenced and period.start_ms >= said[0].at_ms + MINUTE_MS / 2:
            silenced = True
            alerts.silence(Match(said[0].kind, said[0].subject.id), period.end_ms + 2 * MINUTE_MS)
        said += alerts.check(period, states)
        lasting = [alert for alert in alerts.saved if not (alert["inhibited_by"] or alert["silenced_until_ms"])]
        verdicts.append((period.end_ms, frozenset((alert["kind"], SEVERITIES[alert["severity"]], alert["subject"]["id"]) for alert in lasting)))
    return Played(said, verdicts)


class Rules:
    """Grafana's rules on a server."""

    def __init__(self, config: Config, token: str) -> None:
        rules = [rule for group in rule_groups(config) for rule in group["rules"] if rule["labels"]["kind"] != "pipeline"]
        self._queries = [(rule["labels"]["kind"], rule["labels"]["severity"], rule["data"][0]["model"]["query"]) for rule in rules]
        self._influx, self._token = config.influx, token

    def firing(self, at_ms: float, kinds: Collection[str]) -> frozenset[Verdict]:
        """What those of some kinds hold of at this time."""
        found: set[Verdict] = set()
        for kind, severity, query in (rule for rule in self._queries if rule[0] in kinds):
            rows = asked(self._influx, self._token, substituted(query, {}, end_ms=round(at_ms), range_s=3600))
            found |= {(kind, severity, _subject(row)) for row in rows if float(row["_value"]) > 0}
        return frozenset(found)


def _subject(row: dict[str, str]) -> str:
    return row["target"] if row["target"] != "_all" else {"_all": "system"}.get(row["service"], row["service"])


@pytest.mark.parametrize("name", STORIES)
def test_rules_and_the_stream_agree_on_incidents(name: str, write: Callable[[list[Line]], Influx], store: Any) -> None:
    """Who has which alert, of which severity, from when to when: the next look of the rules finds it, whatever was raised, changed, silenced or over."""
    config, story = STORIES[name]()
    origin_ms = round(time.time() * 1000) // MINUTE_MS * MINUTE_MS - 120 * MINUTE_MS
    played, translator = _play(config, story(origin_ms)), Translator(config)
    lines = [line for alert in played.said for line in translator.record("insights", "insights/0/1", encode_insight(alert)).lines]
    rules = Rules(config.model_copy(update={"influx": write(lines)}), store.token)
    assert frozenset().union(*(verdict for _, verdict in played.verdicts)) >= SPOKEN_OF[name]
    differs: dict[float, tuple[frozenset[Verdict], frozenset[Verdict]]] = {}
    around = [frozenset[Verdict](), *(verdict for _, verdict in played.verdicts), played.verdicts[-1][1]]
    for number, (at_ms, verdict) in enumerate(played.verdicts):
        kinds = KINDS if number % 60 == 0 else {kind for kind, _, _ in (around[number] ^ verdict) | (around[number + 2] ^ verdict)}
        if kinds:  # every ten minutes all of them; those that change, before and after
            firing = rules.firing(at_ms + STORED_MS, kinds)
            if firing != frozenset(one for one in verdict if one[0] in kinds):
                differs[(at_ms - origin_ms) / 1000] = (verdict, firing)
    assert differs == {}
    assert EVERY_S * 1000 == PERIOD_MS
