"""Pieces of Flux that queries share. Values in `${…}` are Grafana's variables, `v.…` its macros.

A final frame of a series has `_time`, `_value` and one label. Percentiles do not average: longer windows are stored as such, and `length`
takes the one that fits the range of time.
"""

from __future__ import annotations

from typing import Final

from routecast.dashboards.influx.schema import ALL, PROVIDER_WINDOW, Measurement

RANGE: Final = "range(start: v.timeRangeStart, stop: v.timeRangeStop)"
TARGETS: Final = "r.target =~ /^${target:regex}$/"
"""The chosen targets."""
TOTAL: Final = f'r.target == "{ALL}" and r.service == "${{service}}"'
"""The chosen service, or the whole system; windows of providers, which are called the same, are told apart by `provider`."""
OF_SERVICE: Final = "r.service =~ services"
"""Whatever belongs to the chosen service, or anything."""
_CHOSEN: Final = f'services = if "${{service}}" == "{ALL}" then /.+/ else /^${{service:regex}}$/\n'
_FROM_MINUTES: Final = "5m"
"""Points of a panel this far apart come from windows of a minute: three days at a thousand points, of the week that shorter ones are kept."""

_BUCKETS: Final = PROVIDER_WINDOW.buckets
LENGTH: Final = f"""period = int(v: v.windowPeriod)
length = if "${{window}}" != "auto" then "${{window}}" else if period < int(v: {_FROM_MINUTES}) then "10s" else if period < int(v: 1h) then "1m" else "1h"
place = "${{prefix}}" + (if length == "10s" then "{_BUCKETS["10s"]}" else if length == "1m" then "{_BUCKETS["1m"]}" else "{_BUCKETS["1h"]}")
"""


def fields(*names: str) -> str:
    """A condition on the field."""
    return "(" + " or ".join(f'r._field == "{name}"' for name in names) + ")"


def stored(measurement: Measurement, *names: str, where: str = "") -> str:
    """Points of a measurement that has no windows; every field where none is named."""
    conditions = [f'r._measurement == "{measurement.name}"', *([fields(*names)] if names else []), *([where] if where else [])]
    return f'{chosen(where)}from(bucket: "${{prefix}}{measurement.buckets[""]}")\n  |> {RANGE}\n  |> filter(fn: (r) => {" and ".join(conditions)})'


def chosen(where: str) -> str:
    """What a condition needs before it."""
    return _CHOSEN if OF_SERVICE in where else ""


def windows(*names: str, where: str) -> str:
    """Figures of closed windows, of the length that was chosen."""
    whose = f'{where} and r.provider == "{ALL}"' if where == TOTAL else where
    return (
        f'{LENGTH}from(bucket: place)\n  |> {RANGE}\n  |> filter(fn: (r) => r._measurement == "provider_window" and r.window == length and {fields(*names)})'
        f"\n  |> filter(fn: (r) => {whose})"
    )


def bars(where: str) -> str:
    """Counts of the bars of closed windows."""
    return f'{LENGTH}from(bucket: place)\n  |> {RANGE}\n  |> filter(fn: (r) => r._measurement == "latency_hist" and r.window == length and {where})'


def over_time(points: str, by: str, fn: str = "mean") -> str:
    """A series for each value of a tag."""
    return f"""{points}
  |> group(columns: ["{by}"])
  |> aggregateWindow(every: v.windowPeriod, fn: {fn}, createEmpty: false)
  |> keep(columns: ["_time", "_value", "{by}"])"""


def texts_over_time(points: str, by: str) -> str:
    """The newest text of each point of the panel: chosen before grouping, which takes a fortieth of the time."""
    return f"""{points}
  |> aggregateWindow(every: v.windowPeriod, fn: last, createEmpty: false)
  |> group(columns: ["{by}"])
  |> keep(columns: ["_time", "_value", "{by}"])"""


def named(points: str, names: dict[str, str], fn: str = "mean") -> str:
    """A series for each field, under a name for people."""
    pairs = ", ".join(f'"{field}": "{name}"' for field, name in names.items())
    return f"""import "dict"
names = [{pairs}]
{points}
  |> group(columns: ["_field"])
  |> aggregateWindow(every: v.windowPeriod, fn: {fn}, createEmpty: false)
  |> map(fn: (r) => ({{_time: r._time, _value: r._value, series: dict.get(dict: names, key: r._field, default: r._field)}}))
  |> group(columns: ["series"])"""


def share_over_time(points: str, by: str, share: str) -> str:
    """A series of a figure made of sums of fields, for each value of a tag."""
    return f"""{points}
  |> group(columns: ["{by}", "_field"])
  |> aggregateWindow(every: v.windowPeriod, fn: sum, createEmpty: false)
  |> group(columns: ["{by}"])
  |> pivot(rowKey: ["_time", "{by}"], columnKey: ["_field"], valueColumn: "_value")
  |> map(fn: (r) => ({{_time: r._time, {by}: r.{by}, _value: {share}}}))
  |> group(columns: ["{by}"])"""


def of_sums(points: str, figure: str) -> str:
    """One figure made of sums of fields over the whole range."""
    return f"""{points}
  |> group(columns: ["_field"])
  |> sum()
  |> group()
  |> pivot(rowKey: [], columnKey: ["_field"], valueColumn: "_value")
  |> map(fn: (r) => ({{_value: {figure}}}))"""


def total(points: str) -> str:
    """The sum over everything."""
    return f"""{points}
  |> group()
  |> sum()
  |> keep(columns: ["_value"])"""


def worst_states(points: str) -> str:
    """The code of the worst state of each point of the panel: an outage of seconds must still be seen on a day. Names in Flux would take a second."""
    return f"""{points}
  |> aggregateWindow(every: v.windowPeriod, fn: max, createEmpty: false)
  |> group(columns: ["target"])
  |> keep(columns: ["_time", "_value", "target"])"""


def newest(points: str, by: str) -> str:
    """A row for each value of a tag, a column for each field."""
    return f"""{points}
  |> last()
  |> pivot(rowKey: ["{by}"], columnKey: ["_field"], valueColumn: "_value")
  |> group()"""


def lasting(states: str) -> str:
    """The newest word about each alert, whichever severity and rule it has by now, of those that are not over."""
    return f"""{states}
  |> last()
  |> group(columns: ["target", "service", "kind"])
  |> top(n: 1, columns: ["_time"])
  |> filter(fn: (r) => r._value != "cleared")"""


FAILED_SHARE: Final = "if r.requests > r.cancelled then float(v: r.errors + r.timeouts + r.rate_limited) / float(v: r.requests - r.cancelled) else 0.0"
"""Of what providers answer for."""
COUNTS: Final = ("requests", "errors", "timeouts", "rate_limited", "cancelled")
