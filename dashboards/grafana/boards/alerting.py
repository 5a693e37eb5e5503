"""What is the matter, and what was."""

from __future__ import annotations

from typing import Any, Final

from routecast.dashboards.grafana.boards.board import Panels, board, fleet
from routecast.dashboards.grafana.boards.flux import (
    COUNTS,
    FAILED_SHARE,
    OF_SERVICE,
    TOTAL,
    lasting,
    over_time,
    share_over_time,
    stored,
    texts_over_time,
    windows,
)
from routecast.dashboards.grafana.boards.panels import SEVERITIES, rows, series, stat, timeline
from routecast.dashboards.influx.schema import ALERT, ALL, ROUTER_EVENT

_SAID: Final = {"raised": "red", "updated": "orange", "cleared": "green"}


def alerting() -> dict[str, Any]:
    """Alerts, anomalies and marks."""
    about = "What was raised, what lasts, what changed level, and what did people do around it?"
    sections = [("Alerts", _alerts()), ("Anomalies and events", _events()), ("Objective", _burning())]
    return board("alerts", "alerts and anomalies", about, sections, fleet(), since="now-24h")


def _alerts() -> Panels:
    lasts = f"""{stored(ALERT, where=OF_SERVICE)}
  |> last()
  |> pivot(rowKey: ["_time", "target", "service", "kind", "severity", "rule"], columnKey: ["_field"], valueColumn: "_value")
  |> group(columns: ["target", "service", "kind"])
  |> top(n: 1, columns: ["_time"])
  |> filter(fn: (r) => r.state != "cleared")
  |> group()
  |> keep(columns: ["severity", "kind", "target", "service", "title", "value", "threshold", "started_ms"])"""
    log = f"""{stored(ALERT, "state", "title", "value", "threshold", where=OF_SERVICE)}
  |> pivot(rowKey: ["_time", "target", "service", "kind", "severity", "rule"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> keep(columns: ["_time", "severity", "state", "kind", "target", "service", "title", "value", "threshold"])
  |> sort(columns: ["_time"], desc: true)
  |> limit(n: 500)"""
    counted = lasting(stored(ALERT, "state", where=OF_SERVICE)) + "\n  |> group()\n  |> count()"
    raised = f"""{stored(ALERT, "state", where=OF_SERVICE)}
  |> filter(fn: (r) => r._value == "raised")
  |> group(columns: ["severity"])
  |> aggregateWindow(every: 1h, fn: count, createEmpty: false)
  |> keep(columns: ["_time", "_value", "severity"])"""
    return [
        stat("Lasting", "Alerts of the range that are not over.", counted, "short", marks=[(1, "orange")], none="0", width=4),
        series("Raised", "Alerts raised per hour, by severity.", raised, "short", label="severity", stacked="normal", width=20),
        rows(
            "What lasts",
            "Newest word about each alert that is not over; `routecast alerts show` tells its evidence.",
            [lasts],
            {"started_ms": "dateTimeAsIso"},
            sort="severity",
            colours={"severity": SEVERITIES},
            names={"started_ms": "since"},
            height=7,
        ),
        rows(
            "What was said", "Every word about an alert, the newest first.", [log], {}, colours={"severity": SEVERITIES, "state": _SAID}, names={"_time": "at"}
        ),
    ]


def _marks(kinds: str) -> str:
    return f"""{stored(ROUTER_EVENT, where=f"r.kind =~ /^({kinds})$/")}
  |> pivot(rowKey: ["_time", "kind", "severity", "target"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> keep(columns: ["_time", "kind", "severity", "target", "title", "text"])
  |> sort(columns: ["_time"], desc: true)
  |> limit(n: 500)"""


def _events() -> Panels:
    words = texts_over_time(stored(ALERT, "state", where=OF_SERVICE), "target")
    return [
        timeline(
            "Alerts by target",
            f"Newest word about an alert of each target; `{ALL}` are services and the system.",
            words,
            label="target",
            colours=_SAID,
            height=7,
        ),
        rows(
            "Anomalies",
            "Metrics that went to another level: from, to, and the evidence.",
            [_marks("anomaly")],
            {},
            width=12,
            colours={"severity": SEVERITIES},
            names={"_time": "since"},
        ),
        rows(
            "Events",
            "What people did, what was marked, and changes of state.",
            [_marks("control|marker|state")],
            {},
            width=12,
            colours={"severity": SEVERITIES},
            names={"_time": "at"},
        ),
    ]


def _burning() -> Panels:
    burn = share_over_time(windows(*COUNTS, where=TOTAL), "service", f"({FAILED_SHARE}) / ${{allowed}}")
    values = over_time(stored(ALERT, "value", where=OF_SERVICE), "kind")
    return [
        series("Budget burn", "Failed share of the chosen service ÷ the share that the objective allows.", burn, "none", label="service"),
        series(
            "Values of alerts", "Mean of what alerts were about when they were last looked at, by kind, each in its own unit.", values, "none", label="kind"
        ),
    ]
