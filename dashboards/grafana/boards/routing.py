"""What routers decide, and what they know when they do."""

from __future__ import annotations

from typing import Any, Final

from routecast.dashboards.grafana.boards.board import Panels, board, fleet
from routecast.dashboards.grafana.boards.flux import OF_SERVICE, TARGETS, named, over_time, stored, total, windows
from routecast.dashboards.grafana.boards.panels import series, stat
from routecast.dashboards.influx.schema import ALL, PROVIDER_SCORE, ROUTER_DECISION

ENDED: Final = f'r.outcome != "{ALL}" and {OF_SERVICE}'
"""Reports by outcome: every call that ended."""
_TIMES: Final = {"decision_us_p50": "median", "decision_us_p99": "99th percentile"}
UNUSUAL: Final = f'r.reason != "{ALL}" and {OF_SERVICE}'
"""Reports by reason: decisions that were no plain draw."""


def routing() -> dict[str, Any]:
    """Decisions of all routers."""
    about = "What do routers decide, how often is it no plain draw, and how fresh is what they know?"
    return board("routing", "routing", about, [("Routers", _figures()), ("Decisions", _decisions()), ("Plan", _plan())], fleet())


def _mean(field: str) -> str:
    return f"""{stored(ROUTER_DECISION, field, where=ENDED)}
  |> group()
  |> aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: false)
  |> keep(columns: ["_time", "_value"])"""


def _figures() -> Panels:
    ended, unusual = (total(stored(ROUTER_DECISION, "count", where=where)) for where in (ENDED, UNUSUAL))
    dropped = f"""{stored(ROUTER_DECISION, "dropped", where=ENDED)}
  |> max()
  |> group()
  |> top(n: 1)
  |> keep(columns: ["_value"])"""
    return [
        stat("Calls", "Calls of routers that ended in the range.", ended, "short"),
        stat("No plain draws", "Decisions that were forced: probes, panic, hedges, stale snapshots, retries.", unusual, "short", none="0"),
        stat("Snapshot age", "Mean age of the snapshot that routers decide by.", _mean("snapshot_age_s"), "s", marks=[(2, "yellow"), (10, "red")], decimals=2),
        stat("Waiting", "Mean of requests that wait in a router while every target is full.", _mean("queue"), "short", marks=[(1, "yellow")], decimals=1),
        stat("Events lost", "Most events that one application could not report since it started.", dropped, "short", marks=[(1, "red")], none="0", width=8),
    ]


def _decisions() -> Panels:
    return [
        series(
            "Calls by outcome",
            "How calls of routers ended, per point of the panel.",
            over_time(stored(ROUTER_DECISION, "count", where=ENDED), "outcome", "sum"),
            "short",
            label="outcome",
            stacked="normal",
        ),
        series(
            "Forced decisions by reason",
            "Fallbacks, probes and whatever else was no plain draw, per point of the panel.",
            over_time(stored(ROUTER_DECISION, "count", where=UNUSUAL), "reason", "sum"),
            "short",
            label="reason",
            stacked="normal",
        ),
        series(
            "Calls by policy",
            "Which policy decided, per point of the panel.",
            over_time(stored(ROUTER_DECISION, "count", where=ENDED), "policy", "sum"),
            "short",
            label="policy",
            stacked="normal",
        ),
        series(
            "Snapshot age",
            "By service. Above two periods routers take averages, above ten they go by their own measurements.",
            over_time(stored(ROUTER_DECISION, "snapshot_age_s", where=ENDED), "service"),
            "s",
            label="service",
        ),
        series(
            "Waiting requests",
            "Mean over routers of the requests that wait in them, by service.",
            over_time(stored(ROUTER_DECISION, "queue", where=ENDED), "service"),
            "short",
            label="service",
        ),
        series(
            "Decision time",
            "Median and 99th percentile of single routers, mean over them: about 140 decisions of each in ten seconds are timed, or all.",
            named(stored(ROUTER_DECISION, *_TIMES, where=ENDED), _TIMES),
            "µs",
            label="series",
        ),
    ]


def _plan() -> Panels:
    share = over_time(stored(PROVIDER_SCORE, "share", where=TARGETS), "target")
    return [
        series(
            "Planned share",
            "Share of its service's traffic that each target is planned to get.",
            share,
            "percentunit",
            label="target",
            stacked="normal",
            to_target=True,
        ),
        series(
            "Traffic",
            "Attempts per minute that each target did get.",
            over_time(windows("rpm", where=TARGETS), "target"),
            "reqpm",
            label="target",
            stacked="normal",
            to_target=True,
        ),
        series(
            "Expected cost",
            "Expected time until a success at each target: routers compare these.",
            over_time(stored(PROVIDER_SCORE, "cost_s", where=TARGETS), "target"),
            "s",
            label="target",
            to_target=True,
        ),
        series(
            "Reliability",
            "Lower bound of the success ratio.",
            over_time(stored(PROVIDER_SCORE, "reliability", where=TARGETS), "target"),
            "percentunit",
            label="target",
            most=1,
            to_target=True,
        ),
    ]
