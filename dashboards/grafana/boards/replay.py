"""Replayed runs beside each other."""

from __future__ import annotations

from typing import Any, Final

from routecast.dashboards.grafana.boards.board import Panels, board, runs
from routecast.dashboards.grafana.boards.flux import COUNTS, FAILED_SHARE, OF_SERVICE, RANGE, chosen, fields
from routecast.dashboards.grafana.boards.panels import rows, series
from routecast.dashboards.influx.schema import ALL

_LENGTH: Final = """length = if "${window}" != "auto" then "${window}" else if int(v: v.windowPeriod) < int(v: 5m) then "10s" else "1m"
"""


def replay() -> dict[str, Any]:
    """Runs of `routecast replay` in the bucket of their own, at the times of what was recorded."""
    about = "Which run did better? Choose the time of the recording as the range: points stand at the times of what was replayed."
    return board("replay", "replay comparison", about, [("Runs", _runs()), ("Over time", _courses())], runs(), since="now-7d")


def _windows(*names: str, targets: bool = False) -> str:
    """Totals of the chosen service, or its targets, of the chosen runs."""
    whose = f'r.target != "{ALL}" and {OF_SERVICE}'
    total = f'r.target == "{ALL}" and r.provider == "{ALL}" and r.service == "${{service}}"'
    return (
        f'{chosen(whose) if targets else ""}{_LENGTH}from(bucket: "${{prefix}}replay")\n  |> {RANGE}\n'
        f'  |> filter(fn: (r) => r._measurement == "provider_window" and r.window == length and {fields(*names)})\n'
        f"  |> filter(fn: (r) => r.run =~ /^${{run:regex}}$/ and {whose if targets else total})"
    )


def _course(field: str, fn: str = "mean") -> str:
    return f"""{_windows(field)}
  |> group(columns: ["run"])
  |> aggregateWindow(every: v.windowPeriod, fn: {fn}, createEmpty: false)
  |> keep(columns: ["_time", "_value", "run"])"""


def _runs() -> Panels:
    sums = f"""{_windows(*COUNTS, "cost_usd")}
  |> toFloat()
  |> group(columns: ["run", "_field"])
  |> sum()
  |> pivot(rowKey: ["run"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> map(fn: (r) => ({{run: r.run, requests: r.requests, failed: {FAILED_SHARE}, cost_usd: r.cost_usd}}))"""
    means = f"""{_windows("latency_mean_s", "latency_p95_s", "quality")}
  |> group(columns: ["run", "_field"])
  |> mean()
  |> pivot(rowKey: ["run"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> drop(columns: ["_start", "_stop"])"""
    return [
        rows(
            "Runs beside each other",
            "Counts and cost of each run over the range, and means over its windows.",
            [sums, means],
            {"failed": "percentunit", "cost_usd": "currencyUSD", "latency_mean_s": "s", "latency_p95_s": "s", "requests": "short"},
            names={"cost_usd": "cost", "latency_mean_s": "mean", "latency_p95_s": "p95, mean of windows"},
            height=7,
        ),
    ]


def _courses() -> Panels:
    failed = f"""{_windows(*COUNTS)}
  |> group(columns: ["run", "_field"])
  |> aggregateWindow(every: v.windowPeriod, fn: sum, createEmpty: false)
  |> group(columns: ["run"])
  |> pivot(rowKey: ["_time", "run"], columnKey: ["_field"], valueColumn: "_value")
  |> map(fn: (r) => ({{_time: r._time, run: r.run, _value: {FAILED_SHARE}}}))
  |> group(columns: ["run"])"""
    by_target = f"""{_windows("requests", targets=True)}
  |> group(columns: ["target", "run"])
  |> sum()
  |> group()
  |> pivot(rowKey: ["target"], columnKey: ["run"], valueColumn: "_value")"""
    return [
        series("95th percentile", "Duration of answers, by run.", _course("latency_p95_s"), "s", label="run"),
        series("Failed", "Share of attempts that failed, by run.", failed, "percentunit", label="run"),
        series("Requests", "Attempts per minute, by run.", _course("rpm"), "reqpm", label="run", width=8),
        series("Cost", "Per point of the panel, by run.", _course("cost_usd", "sum"), "currencyUSD", label="run", width=8),
        series("First chunk", "95th percentile of the time to the first chunk, by run.", _course("ttft_p95_s"), "s", label="run", width=8),
        rows("Who got the requests", "Attempts of each target, a column for each run.", [by_target], {}, height=8),
    ]
