"""Alert rules for Grafana: one for each kind and severity of alerts, and two about the pipeline.

Rules of alerts ask what the stream has judged, and judge nothing again. Two judges would part at the edge: only the stream knows what was forgiven, how
long a trouble has lasted, what is explained or silenced, and when it is over. A stored word of an alert says how many times over its limit it is.
"""

from __future__ import annotations

import math
from typing import Any, Final, get_args

from routecast.analytics.alerts.alert_words import length_of
from routecast.analytics.alerts.rules import KINDS, Rule, rules_of
from routecast.analytics.insights.standing import UNHEARD_MS
from routecast.dashboards.influx.schema import ALERT, ALL, PROVIDER_SCORE, ROUTER_DECISION
from routecast.models.config import Config
from routecast.models.severity import SEVERITIES, AlertKind, Severity

SOURCE_UID: Final = "routecast-influxdb"
FOLDER: Final = "routecast"
EVERY_S: Final = 10
"""As often as the stream looks unless it is told otherwise, and the shortest that Grafana knows."""
_KEPT_S: Final = round(UNHEARD_MS / 1000)
"""As `routecast alerts list` has it."""
_STALE_PERIODS: Final = 10.0
"""Age of a snapshot from which on routers go by their own measurements."""
_TOTAL: Final = f'{{{{ if eq $$labels.service "{ALL}" }}}}system{{{{ else }}}}{{{{ $$labels.service }}}}{{{{ end }}}}'
_SUBJECT: Final = f'{{{{ if eq $$labels.target "{ALL}" }}}}{_TOTAL}{{{{ else }}}}{{{{ $$labels.target }}}}{{{{ end }}}}'
"""A label's dollars are doubled: single ones are variables of the environment. Those of annotations are left alone."""
_HOW_MUCH: Final = '{{ $labels.target }}{{ with $labels.service }} of {{ . }}{{ end }}: {{ printf "%.2g" $values.B.Value }} × its limit'
_BAD: Final[dict[AlertKind, str]] = {
    "error_rate": "attempts failed",
    "response_time": "answers were slower than the objective",
    "throughput": "minutes that usually have traffic were quiet",
    "quality": "what judgements could have given was missing",
}
_PANELS: Final[dict[AlertKind, str]] = {kind: "routecast-target" if kind != "throughput" else "routecast-overview" for kind in get_args(AlertKind)}


def rule_groups(config: Config) -> list[dict[str, Any]]:
    """Groups of rules as Grafana's provisioning has them."""
    groups = [_group(kind.replace("_", " "), [_rule(config, kind, severity) for severity in reversed(SEVERITIES)]) for kind in KINDS]
    return [*groups, _group("pipeline", [_silent(config), _stale(config)])]


def _group(name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {"orgId": 1, "name": f"routecast {name}", "folder": FOLDER, "interval": f"{EVERY_S}s", "rules": rules}


def _rule(config: Config, kind: AlertKind, severity: Severity) -> dict[str, Any]:
    """Nothing to wait for, and nothing to hold on to: an alert is raised when it is ripe, and over when its end is sure."""
    name = kind.replace("_", " ")
    labels = {"kind": kind, "severity": severity, "subject": _SUBJECT}
    told = {"summary": f"{name} of {_HOW_MUCH}", "description": _described(config, kind, severity), "runbook": f"docs/runbook.md, Alerts, {kind}"}
    return _provisioned(f"{kind}-{severity}", f"{name}, {severity}", _asked(config, kind, severity), _KEPT_S, "OK", above=0) | {
        "for": "0s", "labels": labels, "annotations": told, "dashboardUid": _PANELS[kind], "panelId": 2,
    }  # fmt: skip


def _asked(config: Config, kind: AlertKind, severity: Severity) -> str:
    """A row for each subject that was spoken of, whose newest word counts, whichever severity it had before."""
    return f"""from(bucket: "{config.influx.bucket_prefix}{ALERT.buckets[""]}")
  |> range(start: -{_KEPT_S}s)
  |> filter(fn: (r) => r._measurement == "{ALERT.name}" and r._field == "times_over" and r.kind == "{kind}")
  |> last()
  |> group(columns: ["target", "service"])
  |> top(n: 1, columns: ["_time"])
  |> map(fn: (r) => ({{target: r.target, service: r.service, _time: now(), _value: if r.severity == "{severity}" then r._value else 0.0}}))
  |> group(columns: ["target", "service"])"""


def _described(config: Config, kind: AlertKind, severity: Severity) -> str:
    limits = " or ".join(_limit(rule) for rule in rules_of(config)[""] if (rule.kind, rule.severity) == (kind, severity))
    own = "; services with an objective of their own have limits of their own" if config.service else ""
    return f"Holds where {limits}, surely and for long enough, as `routecast alerts show` tells{own}. {ALL} is a whole service, or the system."


def _limit(rule: Rule) -> str:
    windows = " and in ".join(length_of(length_ms) for length_ms in dict.fromkeys((rule.long_ms, rule.short_ms)))
    if math.isinf(rule.share):
        return f"answers took more than {rule.threshold / 1000:g} s on average in {windows}"
    return f"more than {100 * rule.share:.3g} % of {_BAD[rule.kind]} in {windows}"


def _silent(config: Config) -> dict[str, Any]:
    """Nothing published: no leader, no log, or no sink."""
    query = f"""from(bucket: "{config.influx.bucket_prefix}{PROVIDER_SCORE.buckets[""]}")
  |> range(start: -5m)
  |> filter(fn: (r) => r._measurement == "{PROVIDER_SCORE.name}" and r._field == "rank")
  |> group()
  |> count()
  |> map(fn: (r) => ({{_time: now(), _value: if r._value > 0 then 0.0 else 2.0}}))"""
    told = {
        "summary": "nothing was stored for five minutes",
        "description": "No score reached InfluxDB: the workers, Kafka or the sink are away. `routecast doctor` says which.",
        "runbook": "docs/runbook.md",
    }
    return _provisioned("pipeline-silent", "pipeline silent", query, 300, "Alerting") | {
        "execErrState": "Alerting",
        "for": "0s", "labels": {"kind": "pipeline", "severity": "critical", "subject": "pipeline"}, "annotations": told,
        "dashboardUid": "routecast-pipeline", "panelId": 2,
    }  # fmt: skip


def _stale(config: Config) -> dict[str, Any]:
    """Routers that decide without the leader."""
    limit_s = _STALE_PERIODS * config.intervals.snapshot_ms / 1000
    query = f"""from(bucket: "{config.influx.bucket_prefix}{ROUTER_DECISION.buckets[""]}")
  |> range(start: -2m)
  |> filter(fn: (r) => r._measurement == "{ROUTER_DECISION.name}" and r._field == "snapshot_age_s")
  |> group(columns: ["service"])
  |> mean()
  |> map(fn: (r) => ({{service: r.service, _time: now(), _value: r._value / {limit_s!r}}}))
  |> group(columns: ["service"])"""
    told = {
        "summary": 'routers of {{ $labels.service }} decide by snapshots that are {{ printf "%.2g" $values.B.Value }} × ten periods old',
        "description": "They go by their own measurements meanwhile. Look at the leader and at the log.",
        "runbook": "docs/runbook.md",
    }
    return _provisioned("snapshot-stale", "snapshot stale", query, 120, "OK") | {
        "for": "0s", "labels": {"kind": "pipeline", "severity": "high", "subject": "{{ $$labels.service }}"}, "annotations": told,
        "dashboardUid": "routecast-routing", "panelId": 4,
    }  # fmt: skip


def _provisioned(uid: str, title: str, query: str, longest_s: int, no_data: str, *, above: int = 1) -> dict[str, Any]:
    """Holds where the value of a row of the query is above a limit."""
    asked = {"refId": "A", "query": query, "intervalMs": 10_000, "maxDataPoints": 1000}
    condition = {"type": "query", "evaluator": {"type": "gt", "params": [above]}}
    steps = (
        {"refId": "B", "type": "reduce", "expression": "A", "reducer": "last"},
        {"refId": "C", "type": "threshold", "expression": "B", "conditions": [condition]},
    )
    data = [_step("A", longest_s, SOURCE_UID, asked), *(_step(str(step["refId"]), 0, "__expr__", step) for step in steps)]
    return {"uid": f"routecast-{uid.replace('_', '-')}", "title": title, "condition": "C", "data": data, "noDataState": no_data, "execErrState": "Error"}


def _step(name: str, from_s: int, source: str, model: dict[str, Any]) -> dict[str, Any]:
    return {"refId": name, "relativeTimeRange": {"from": from_s, "to": 0}, "datasourceUid": source, "model": model}
