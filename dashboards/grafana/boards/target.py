"""One target in depth."""

from __future__ import annotations

from typing import Any, Final

from routecast.dashboards.grafana.boards.board import Panels, board, usual
from routecast.dashboards.grafana.boards.flux import COUNTS, FAILED_SHARE, TARGETS, bars, named, of_sums, over_time, stored, windows, worst_states
from routecast.dashboards.grafana.boards.panels import STATE_CODES, STATES, heat_map, rows, series, stat, timeline
from routecast.dashboards.influx.schema import PROVIDER_SCORE, PROVIDER_STATE, TREND

PERCENTILES: Final = {"latency_p50_s": "p50", "latency_p90_s": "p90", "latency_p95_s": "p95", "latency_p99_s": "p99"}


def target() -> dict[str, Any]:
    """Where a click on a target leads."""
    about = "What is the matter with this target, since when, and what does the fleet make of it?"
    sections = [("Now", _figures()), ("Answers", _answers()), ("Load", _load()), ("Quality, trend, cost", _worth())]
    return board("target", "target", about, sections, usual(one_target=True))


def _score(field: str) -> str:
    return over_time(stored(PROVIDER_SCORE, field, where=TARGETS), "target")


def _figures() -> Panels:
    state = worst_states(stored(PROVIDER_STATE, "code", where=TARGETS))
    failed = of_sums(windows(*COUNTS, where=TARGETS), FAILED_SHARE)
    return [
        timeline("State", "Worst state of this target, per point of the panel.", state, label="target", colours=STATES, codes=STATE_CODES, height=4),
        stat("Score", "Performance score, 1 is best.", _score("score"), "none", decimals=2),
        stat("Planned share", "Of its service's traffic.", _score("share"), "percentunit", decimals=1),
        stat("Cost of a success", "Expected time until a success, price included where it counts.", _score("cost_s"), "s", decimals=2),
        stat(
            "Failed",
            "Share of attempts of the range that failed, the callers' own faults aside.",
            failed,
            "percentunit",
            marks=[(0.05, "yellow"), (0.15, "red")],
            decimals=2,
        ),
        stat("Requests", "Attempts per minute.", over_time(windows("rpm", where=TARGETS), "target"), "reqpm"),
        stat("Evidence", "Completed requests behind its figures, decayed.", _score("evidence"), "short"),
    ]


def _answers() -> Panels:
    kinds = {"errors": "errors", "timeouts": "time-outs", "rate_limited": "refused (429)", "cancelled": "given up by callers"}
    firsts = {"ttft_p50_s": "first chunk, median", "ttft_p95_s": "first chunk, p95", "tpot_p95_s": "per token, p95"}
    return [
        series(
            "Percentiles",
            "Duration of successes and time-outs; percentiles of each window.",
            named(windows(*PERCENTILES, where=TARGETS), PERCENTILES),
            "s",
            label="series",
        ),
        heat_map("Distribution", "How many answers took how long; the bounds are upper ones, in seconds.", bars(TARGETS)),
        series(
            "Failures by kind",
            "Attempts that did not succeed, per point of the panel.",
            named(windows(*kinds, where=TARGETS), kinds, "sum"),
            "short",
            label="series",
            stacked="normal",
        ),
        series(
            "First chunk and tokens",
            "Time to the first chunk, and per output token after it.",
            named(windows(*firsts, where=TARGETS), firsts),
            "s",
            label="series",
        ),
    ]


def _load() -> Panels:
    limits = {"headroom": "free part of its rate limits", "ramp": "part of its share while it recovers", "current_load": "factor current load"}
    queues = {"in_flight_max": "most in flight", "queue_depth": "deepest queue it reported"}
    slots = named(stored(PROVIDER_SCORE, "capacity", "in_flight", where=TARGETS), {"capacity": "capacity", "in_flight": "in flight"})
    own = {"cpu": "processor", "memory": "memory"}
    return [
        series(
            "Headroom",
            "Free part of its rate limits, 1 where it has none.",
            named(stored(PROVIDER_SCORE, *limits, where=TARGETS), limits),
            "percentunit",
            label="series",
            most=1,
            width=8,
        ),
        series(
            "Concurrency and queue",
            "Most requests open at once, and the queue that the target reported.",
            named(windows(*queues, where=TARGETS), queues),
            "short",
            label="series",
            width=8,
        ),
        series("Slots", "Requests open beside those that it serves without a queue.", slots, "short", label="series", width=8),
        series(
            "Resources",
            "What the target reports of itself; empty where it reports nothing.",
            named(windows(*own, where=TARGETS), own),
            "percentunit",
            label="series",
            most=1,
            width=8,
        ),
        series(
            "Network",
            "Network latency that the target reports; empty where it reports nothing.",
            over_time(windows("network_ms", where=TARGETS), "target"),
            "ms",
            label="target",
            width=8,
        ),
        series("Tokens", "Input and output tokens per minute.", over_time(windows("tpm", where=TARGETS), "target"), "short", label="target", width=8),
    ]


def _worth() -> Panels:
    judged = {"quality": "quality", "satisfaction": "satisfaction"}
    trend = f"""{stored(TREND, where=TARGETS)}
  |> last()
  |> pivot(rowKey: ["target", "metric"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> keep(columns: ["metric", "trend", "previous", "current", "change_ratio", "confidence"])"""
    return [
        series(
            "Quality",
            "Mean of judgements and of satisfaction, 0 to 1; empty where nobody judges.",
            named(windows(*judged, where=TARGETS), judged),
            "none",
            label="series",
            most=1,
            width=8,
        ),
        rows(
            "Trends",
            "Where each metric went over the last windows, and how sure that is.",
            [trend],
            {"change_ratio": "percentunit", "confidence": "percentunit"},
            width=8,
            height=8,
            names={"change_ratio": "change"},
            colours={"trend": {"improving": "green", "stable": "text", "declining": "red", "unknown": "text"}},
        ),
        series(
            "Cost",
            "Of its requests, per point of the panel.",
            over_time(windows("cost_usd", where=TARGETS), "target", "sum"),
            "currencyUSD",
            label="target",
            stacked="normal",
            width=8,
        ),
    ]
