"""Who is well, who is not, and what the routers do about it."""

from __future__ import annotations

from typing import Any

from routecast.dashboards.grafana.boards.board import Panels, board, usual
from routecast.dashboards.grafana.boards.flux import (
    COUNTS,
    FAILED_SHARE,
    OF_SERVICE,
    TARGETS,
    TOTAL,
    lasting,
    newest,
    of_sums,
    over_time,
    share_over_time,
    stored,
    total,
    windows,
    worst_states,
)
from routecast.dashboards.grafana.boards.panels import STATE_CODES, STATES, rows, series, stat, timeline
from routecast.dashboards.influx.schema import ALERT, PROVIDER_SCORE, PROVIDER_STATE


def overview() -> dict[str, Any]:
    """The first one to open."""
    about = "Is the fleet well, which target is not, and where does its traffic go?"
    return board("overview", "overview", about, [("Now", _figures()), ("Targets", _targets()), ("Objective", _objective())], usual())


def _figures() -> Panels:
    ratio = of_sums(windows(*COUNTS, where=TOTAL), f"1.0 - ({FAILED_SHARE})")
    trouble = f"""{stored(PROVIDER_STATE, "code", where=TARGETS)}
  |> last()
  |> group()
  |> filter(fn: (r) => r._value != 0)
  |> count()"""
    alerts = lasting(stored(ALERT, "state", where=OF_SERVICE)) + "\n  |> group()\n  |> count()"
    return [
        stat("Requests", "Attempts per minute, of the service that is chosen or of all.", over_time(windows("rpm", where=TOTAL), "service"), "reqpm"),
        stat(
            "Success",
            "Share of attempts that succeeded over the range, the callers' own faults aside.",
            ratio,
            "percentunit",
            marks=[(0.0, "red"), (0.95, "yellow"), (0.99, "green")],
            decimals=2,
        ),
        stat(
            "95th percentile",
            "Of the duration of answers, in the newest windows.",
            over_time(windows("latency_p95_s", where=TOTAL), "service"),
            "s",
            decimals=2,
        ),
        stat("Targets in trouble", "Chosen targets whose newest state is not ok.", trouble, "short", marks=[(1, "red")], none="0"),
        stat("Alerts", "Alerts of the range that last.", alerts, "short", marks=[(1, "orange")], none="0"),
        stat("Cost", "Of all requests of the range.", total(windows("cost_usd", where=TOTAL)), "currencyUSD", decimals=2),
    ]


def _targets() -> Panels:
    states = worst_states(stored(PROVIDER_STATE, "code", where=TARGETS))
    scores = newest(stored(PROVIDER_SCORE, "score", "share", "reliability", "cost_s", "in_flight", "capacity", "rank", where=TARGETS), "target")
    counts = f"""{windows(*COUNTS, where=TARGETS)}
  |> group(columns: ["target", "_field"])
  |> sum()
  |> pivot(rowKey: ["target"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> map(fn: (r) => ({{target: r.target, requests: r.requests, failed: {FAILED_SHARE}}}))"""
    state = newest(stored(PROVIDER_STATE, "state", where=TARGETS), "target")
    return [
        timeline(
            "States",
            "Worst state of each target, per point of the panel. Routers leave out what is open or drained.",
            states,
            label="target",
            colours=STATES,
            codes=STATE_CODES,
        ),
        rows(
            "Who is how",
            "Newest state and scores of each target, and how its attempts of the range ended. A click on a name leads to the target.",
            [f'{state}\n  |> keep(columns: ["target", "state"])', f"{_kept(scores)}", counts],
            {"share": "percentunit", "reliability": "percentunit", "failed": "percentunit", "cost_s": "s", "score": "none"},
            sort="failed",
            colours={"state": STATES},
            names={"cost_s": "cost of a success", "in_flight": "in flight"},
        ),
        series(
            "Traffic share",
            "Attempts per minute of each target, as shares of all.",
            over_time(windows("rpm", where=TARGETS), "target"),
            "reqpm",
            label="target",
            stacked="percent",
            to_target=True,
        ),
        series(
            "Scores",
            "Performance score: response time, reliability and quality, 1 is best.",
            over_time(stored(PROVIDER_SCORE, "score", where=TARGETS), "target"),
            "none",
            label="target",
            most=1,
            to_target=True,
        ),
    ]


def _kept(scores: str) -> str:
    return f'{scores}\n  |> keep(columns: ["target", "score", "share", "reliability", "cost_s", "in_flight", "capacity", "rank"])'


def _objective() -> Panels:
    objective = f"""{windows("rpm", where=TOTAL)}
  |> aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: false)
  |> map(fn: (r) => ({{_time: r._time, _value: ${{within_s}}, target: "objective"}}))
  |> group(columns: ["target"])"""
    burn = share_over_time(windows(*COUNTS, where=TARGETS), "target", f"({FAILED_SHARE}) / ${{allowed}}")
    return [
        series(
            "95th percentile beside the objective",
            "Duration of answers, 95th percentile of each window; the line is the objective of the configuration.",
            over_time(windows("latency_p95_s", where=TARGETS), "target"),
            "s",
            label="target",
            to_target=True,
            more=[objective],
        ),
        series(
            "Budget burn",
            "Failed share ÷ the share that the objective allows: above 1 the budget is spent faster than it may be; 14.4 over an hour is critical.",
            burn,
            "none",
            label="target",
            to_target=True,
        ),
    ]
