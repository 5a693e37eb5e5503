"""Whether what is shown elsewhere can be believed."""

from __future__ import annotations

from typing import Any

from routecast.dashboards.grafana.boards.board import Panels, board, fleet
from routecast.dashboards.grafana.boards.flux import RANGE, over_time, stored
from routecast.dashboards.grafana.boards.panels import series, stat
from routecast.dashboards.influx.schema import ALL, PIPELINE, PROVIDER_SCORE, PROVIDER_WINDOW, ROUTER_DECISION


def pipeline() -> dict[str, Any]:
    """The sink, the workers, the leader's snapshots, the routers' signs of life."""
    about = "Does the pipeline keep up, and is what the other dashboards show fresh and complete?"
    return board(
        "pipeline", "pipeline health", about, [("Now", _figures()), ("Sink", _sink()), ("Workers", _workers()), ("Leader and routers", _fleet())], fleet()
    )


def _newest(field: str, component: str = "sink") -> str:
    return over_time(stored(PIPELINE, field, where=f'r.component == "{component}"'), "instance")


def _age(points: str) -> str:
    """Seconds from the newest of these points to the end of the range."""
    return f"""{points}
  |> last()
  |> group()
  |> top(n: 1, columns: ["_time"])
  |> map(fn: (r) => ({{_value: float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0}}))"""


def _figures() -> Panels:
    scores = _age(stored(PROVIDER_SCORE, "rank"))
    system = f'r._measurement == "provider_window" and r._field == "requests" and r.window == "10s" and r.target == "{ALL}" and r.service == "{ALL}"'
    windows = _age(f'from(bucket: "${{prefix}}{PROVIDER_WINDOW.buckets["10s"]}")\n  |> {RANGE}\n  |> filter(fn: (r) => {system})')
    late = [(60.0, "yellow"), (300.0, "red")]
    return [
        stat("InfluxDB", "1 while InfluxDB stores what the sink gives it.", _newest("influx_up"), "none", marks=[(0, "red"), (1, "green")]),
        stat("Lag", "Records on the log that are not stored yet.", _newest("lag"), "short", marks=[(10_000, "yellow"), (100_000, "red")]),
        stat(
            "Dead letters",
            "Lines that could not be stored since the sink started; `routecast tail deadletter` shows them.",
            _newest("dead_letters"),
            "short",
            marks=[(1, "red")],
        ),
        stat("Lines", "Lines stored per second.", _newest("events_s"), "short", decimals=0),
        stat("Scores are old by", "Time from the newest score to the end of the range.", scores, "s", marks=late, decimals=0),
        stat("Windows are old by", "Time from the newest closed window to the end of the range.", windows, "s", marks=late, decimals=0),
    ]


def _sink() -> Panels:
    return [
        series("Lag", "Records on the log that are not stored yet, by sink.", _newest("lag"), "short", label="instance"),
        series("Lines stored", "Per second, by sink.", _newest("events_s"), "short", label="instance"),
        series("Time of a write", "Mean over ten seconds.", _newest("cycle_ms"), "ms", label="instance", width=8),
        series("Memory", "Resident memory of the sink.", _newest("memory_mb"), "decmbytes", label="instance", width=8),
        series("Dead letters", "Since the sink started.", _newest("dead_letters"), "short", label="instance", width=8),
    ]


def _workers() -> Panels:
    return [
        series("Events folded", "Per second, by worker.", _newest("events_s", "worker"), "short", label="instance"),
        series("Events to fold", "Records on the log that are not folded yet, by worker.", _newest("lag", "worker"), "short", label="instance"),
        series("Time of a flush", "Mean time of writing rows, by worker.", _newest("cycle_ms", "worker"), "ms", label="instance", width=8),
        series("Time of a tick", "Mean, of the worker that leads.", _newest("cycle_ms", "leader"), "ms", label="instance", width=8),
        series("Memory of workers", "Resident memory.", _newest("memory_mb", "worker"), "decmbytes", label="instance", width=8),
    ]


def _fleet() -> Panels:
    ended = f'r.outcome != "{ALL}"'
    count = f"""{stored(PROVIDER_SCORE, "rank")}
  |> group(columns: ["service"])
  |> aggregateWindow(every: v.windowPeriod, fn: count, createEmpty: false)
  |> keep(columns: ["_time", "_value", "service"])"""
    return [
        series(
            "Scores stored",
            "Scores of targets per point of the panel, by service: a gap is a leader that was silent.",
            count,
            "short",
            label="service",
            width=8,
        ),
        series(
            "Snapshot age",
            "Mean over routers, by service.",
            over_time(stored(ROUTER_DECISION, "snapshot_age_s", where=ended), "service"),
            "s",
            label="service",
            width=8,
        ),
        series(
            "Calls",
            "Calls of routers per point of the panel, by service: a gap is applications that are silent.",
            over_time(stored(ROUTER_DECISION, "count", where=ended), "service", "sum"),
            "short",
            label="service",
            width=8,
        ),
    ]
