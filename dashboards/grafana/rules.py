"""Alert rules for Grafana, made from the thresholds that alerts in the stream follow: a rule for each kind and severity, and two about the pipeline."""

from __future__ import annotations

from typing import Any, Final, get_args

from routecast.analytics.alerts.rules import KINDS
from routecast.dashboards.grafana.rule_queries import RuleQueries
from routecast.dashboards.influx.schema import ALL, PROVIDER_SCORE, ROUTER_DECISION
from routecast.models.config import Config
from routecast.models.severity import SEVERITIES, AlertKind, Severity

SOURCE_UID: Final = "routecast-influxdb"
FOLDER: Final = "routecast"
_EVERY: Final = "1m"
_RIPE: Final = "2m"
"""What is to wake somebody must have lasted for as long, but for quality, whose windows are long enough."""
_STALE_PERIODS: Final = 10.0
"""Age of a snapshot from which on routers go by their own measurements."""
_TOTAL: Final = f'{{{{ if eq $$labels.service "{ALL}" }}}}system{{{{ else }}}}{{{{ $$labels.service }}}}{{{{ end }}}}'
_SUBJECT: Final = f'{{{{ if eq $$labels.target "{ALL}" }}}}{_TOTAL}{{{{ else }}}}{{{{ $$labels.target }}}}{{{{ end }}}}'
"""A label's dollars are doubled: single ones are variables of the environment. Those of annotations are left alone."""
_HOW_MUCH: Final = '{{ $labels.target }}{{ with $labels.service }} of {{ . }}{{ end }}: {{ printf "%.2g" $values.B.Value }} × its limit'
_PANELS: Final[dict[AlertKind, str]] = {kind: "routecast-target" if kind != "throughput" else "routecast-overview" for kind in get_args(AlertKind)}


def rule_groups(config: Config) -> list[dict[str, Any]]:
    """Groups of rules as Grafana's provisioning has them."""
    queries = RuleQueries(config)
    groups = [_group(kind.replace("_", " "), [_rule(queries, kind, severity) for severity in reversed(SEVERITIES)]) for kind in KINDS]
    return [*groups, _group("pipeline", [_silent(config), _stale(config)])]


def _group(name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {"orgId": 1, "name": f"routecast {name}", "folder": FOLDER, "interval": _EVERY, "rules": rules}


def _rule(queries: RuleQueries, kind: AlertKind, severity: Severity) -> dict[str, Any]:
    longest_s = max(rule[""].long_ms for rule in queries.rules(kind, severity)) // 1000
    ripe = severity in {"critical", "high"} and kind != "quality"
    name = kind.replace("_", " ")
    labels = {"kind": kind, "severity": severity, "subject": _SUBJECT}
    told = {
        "summary": f"{name} of {_HOW_MUCH}",
        "description": f"The same limits as those of `routecast alerts`, severity {severity}; {ALL} is a whole service, or the system.",
        "runbook": f"docs/runbook.md, Alerts, {kind}",
    }
    return _provisioned(f"{kind}-{severity}", f"{name}, {severity}", queries.query(kind, severity), longest_s, "OK") | {
        "for": _RIPE if ripe else "0s", "labels": labels, "annotations": told, "dashboardUid": _PANELS[kind], "panelId": 2,
    }  # fmt: skip


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


def _provisioned(uid: str, title: str, query: str, longest_s: int, no_data: str) -> dict[str, Any]:
    """The newest value of each row of the query, above 1."""
    asked = {"refId": "A", "query": query, "intervalMs": 10_000, "maxDataPoints": 1000}
    above = {"type": "query", "evaluator": {"type": "gt", "params": [1]}}
    steps = (
        {"refId": "B", "type": "reduce", "expression": "A", "reducer": "last"},
        {"refId": "C", "type": "threshold", "expression": "B", "conditions": [above]},
    )
    data = [_step("A", longest_s, SOURCE_UID, asked), *(_step(str(step["refId"]), 0, "__expr__", step) for step in steps)]
    return {"uid": f"routecast-{uid.replace('_', '-')}", "title": title, "condition": "C", "data": data, "noDataState": no_data, "execErrState": "Error"}


def _step(name: str, from_s: int, source: str, model: dict[str, Any]) -> dict[str, Any]:
    return {"refId": name, "relativeTimeRange": {"from": from_s, "to": 0}, "datasourceUid": source, "model": model}
