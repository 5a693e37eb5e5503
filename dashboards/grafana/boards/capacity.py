"""How much more load fits, and what the load costs."""

from __future__ import annotations

from typing import Any

from routecast.dashboards.grafana.boards.board import Panels, board, fleet
from routecast.dashboards.grafana.boards.flux import OF_SERVICE, TARGETS, TOTAL, named, over_time, stored, total, windows
from routecast.dashboards.grafana.boards.panels import rows, series, stat
from routecast.dashboards.influx.schema import CAPACITY, PROVIDER_SCORE


def capacity() -> dict[str, Any]:
    """Load and money."""
    about = "How much more load fits, what is the nearest limit, and what does the load cost?"
    return board("capacity", "capacity and cost", about, [("Capacity", _load()), ("Limits", _limits()), ("Cost", _cost())], fleet(), since="now-24h")


def _load() -> Panels:
    kinds = {"now_per_min": "arrives", "sustainable_per_min": "fits", "low_per_min": "fits, at least", "high_per_min": "fits, at most"}
    services = f"""{stored(CAPACITY, where=OF_SERVICE)}
  |> last()
  |> pivot(rowKey: ["service"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> keep(columns: ["service", "now_per_min", "sustainable_per_min", "low_per_min", "high_per_min", "wait_p95_ms", "slots"])"""
    return [
        rows(
            "Services",
            "What arrives at each service, the most that fits with its 95 % interval, how long 95 % wait at most, and slots to add or (below 0) to spare.",
            [services],
            {"now_per_min": "reqpm", "sustainable_per_min": "reqpm", "low_per_min": "reqpm", "high_per_min": "reqpm", "wait_p95_ms": "ms"},
            height=6,
            names={"now_per_min": "arrives", "sustainable_per_min": "fits", "low_per_min": "at least", "high_per_min": "at most", "wait_p95_ms": "wait, p95"},
        ),
        series(
            "Load beside capacity",
            "Mean over the chosen services: what arrives, and what fits with its interval.",
            named(stored(CAPACITY, *kinds, where=OF_SERVICE), kinds),
            "reqpm",
            label="series",
        ),
        series(
            "Waiting",
            "95th percentile of waiting at the present load, by service.",
            over_time(stored(CAPACITY, "wait_p95_ms", where=OF_SERVICE), "service"),
            "ms",
            label="service",
        ),
    ]


def _limits() -> Panels:
    occupied = f"""{stored(PROVIDER_SCORE, "in_flight", "capacity", where=TARGETS)}
  |> group(columns: ["target", "_field"])
  |> aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: false)
  |> group(columns: ["target"])
  |> pivot(rowKey: ["_time", "target"], columnKey: ["_field"], valueColumn: "_value")
  |> map(fn: (r) => ({{_time: r._time, target: r.target, _value: if r.capacity > 0.0 then r.in_flight / r.capacity else 0.0}}))
  |> group(columns: ["target"])"""
    return [
        series("Occupied", "Requests open ÷ those that a target serves without a queue.", occupied, "percentunit", label="target", to_target=True),
        series(
            "Headroom",
            "Free part of the rate limits of each target.",
            over_time(stored(PROVIDER_SCORE, "headroom", where=TARGETS), "target"),
            "percentunit",
            label="target",
            most=1,
            to_target=True,
        ),
    ]


def _cost() -> Panels:
    per_hour = f"""{windows("cost_usd", where=TOTAL)}
  |> group()
  |> aggregateWindow(every: 1h, fn: sum, createEmpty: false)
  |> keep(columns: ["_time", "_value"])"""
    providers = f"""{windows("cost_usd", "tokens", "requests", where=TARGETS)}
  |> toFloat()
  |> group(columns: ["provider", "model", "_field"])
  |> sum()
  |> pivot(rowKey: ["provider", "model"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> map(fn: (r) => ({{r with each: if r.requests > 0.0 then 1000.0 * r.cost_usd / r.requests else 0.0}}))
  |> map(fn: (r) => ({{r with mtok: if r.tokens > 0.0 then 1000000.0 * r.cost_usd / r.tokens else 0.0}}))"""
    return [
        stat("Spent", "Cost of all requests of the range.", total(windows("cost_usd", where=TOTAL)), "currencyUSD", decimals=2),
        stat("Per hour", "Cost of the newest hour.", per_hour, "currencyUSD", decimals=2),
        series(
            "Cost by target",
            "Cost per point of the panel.",
            over_time(windows("cost_usd", where=TARGETS), "target", "sum"),
            "currencyUSD",
            label="target",
            stacked="normal",
            width=16,
            to_target=True,
        ),
        series(
            "Tokens by target",
            "Input and output tokens per minute.",
            over_time(windows("tpm", where=TARGETS), "target"),
            "short",
            label="target",
            stacked="normal",
            to_target=True,
        ),
        rows(
            "Who is dear",
            "Cost of each provider and model over the range, of a thousand requests, and of a million tokens.",
            [providers],
            {"cost_usd": "currencyUSD", "each": "currencyUSD", "mtok": "currencyUSD", "requests": "short"},
            sort="cost",
            width=12,
            height=8,
            names={"cost_usd": "cost", "each": "per 1000 requests", "mtok": "per million tokens"},
        ),
    ]
