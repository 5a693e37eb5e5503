"""The Flux of alert rules: what `analytics/alerts/judge.py` asks of counts, asked of the windows that are stored.

A query gives a row for each subject and rule, whose value is how many times over its limit it is: above 1 the rule holds. As in the stream, the
share of bad events must exceed the limit in both windows, in the long one by the lower end of a 95 % interval (Wilson's: Flux has no Jeffreys')
and with at least five bad events; time before a subject's first request counts as time within the objective. Queries name their buckets
and times themselves: alert rules know neither variables nor the range of a panel.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import Final

from routecast.analytics.alerts.rules import DAY_MS, HOUR_MS, MINUTE_MS, Rule, rules_of
from routecast.dashboards.influx.line_protocol import safe_tag
from routecast.dashboards.influx.schema import ALL, BOUNDS_S, LATENCY_HIST, PROVIDER_STATE, PROVIDER_WINDOW, bar
from routecast.dashboards.points.scores import CODES
from routecast.models.config import Config
from routecast.models.severity import AlertKind, Severity

_Z: Final = NormalDist().inv_cdf(0.95)
_OUT: Final = (CODES["open"], CODES["recovering"])
_OUT_MIN: Final = 6
"""A target is out of service whose breaker kept it out for more than half of so many minutes."""
_USUAL: Final = 2.0
"""Multiple of the minimum that is usual traffic."""
_COUNTS: Final = ("requests", "errors", "timeouts", "rate_limited", "cancelled")
_NO_PROVIDERS: Final = f'(r.target != "{ALL}" or r.provider == "{ALL}")'
"""Windows of providers are called like those of the system, but for that."""

_JUDGE: Final = f"""import "date"
import "math"

lower = (bad, n) => (bad / n + {_Z * _Z / 2:.6f} / n - {_Z:.6f} * math.sqrt(x: bad / n * (1.0 - bad / n) / n + {_Z * _Z / 4:.6f} / (n * n)))
  / (1.0 + {_Z * _Z:.6f} / n)
times = (bad, n, limit) => if n > 0.0 then bad / n / limit else 0.0
surely = (bad, n, limit) => if bad >= 5.0 and n >= bad then lower(bad: bad, n: n) / limit else 0.0
least = (a, b) => if a < b then a else b
aged = (tables=<-, begun, back) => join(tables: {{c: tables, b: begun}}, on: ["target", "service"])
  |> map(fn: (r) => ({{r with seen: float(v: int(v: now()) - int(v: r._time)) / float(v: int(v: back))}}))
  |> map(fn: (r) => ({{target: r.target, service: r.service, bad: r.bad, n: if r.seen < 1.0 then r.n / r.seen else r.n}}))
"""

Limits = Mapping[str, Rule]
"""A rule by service; under the empty name for all others."""


class RuleQueries:
    """Queries of all kinds and severities.

    Args:
        config: objectives and thresholds, and the prefix of the buckets.
    """

    def __init__(self, config: Config) -> None:
        self._prefix = config.influx.bucket_prefix
        self._within_s = {name: config.routing_for(name).objective.within_ms / 1000 for name in ("", *sorted(config.services))}
        self._minimum = config.thresholds.throughput_per_min.minimum
        by_service = rules_of(config)
        self._rules = [{service: rules[number] for service, rules in by_service.items()} for number in range(len(by_service[""]))]

    def rules(self, kind: AlertKind, severity: Severity) -> list[Limits]:
        """The burn rate, and the plain threshold where there is one."""
        return [rule for rule in self._rules if (rule[""].kind, rule[""].severity) == (kind, severity)]

    def query(self, kind: AlertKind, severity: Severity) -> str:
        """The query of one kind and severity."""
        tables: dict[str, str] = {rule[""].rule: self._table(rule) for rule in self.rules(kind, severity)}
        if (kind, severity) == ("error_rate", "critical"):
            tables["out_of_service"] = self._out_of_service()
        shared = [_JUDGE, *([self._before_quiet()] if kind == "throughput" else [])]
        one = next(iter(tables)) if len(tables) == 1 else f"union(tables: [{', '.join(tables)}])"
        return "\n".join([*shared, *tables.values(), f'{one}\n  |> group(columns: ["target", "service", "rule"])'])

    def _table(self, rule: Limits) -> str:
        """A definition under the name of the rule, with `target`, `service`, `rule`, `_time` and `_value`."""
        name, one = rule[""].rule, rule[""]
        value = _mean_times(rule) if math.isinf(one.share) else _share_times(rule)
        begun = [f"{name}_begun = {self._begun(one.long_ms)}"] if self._ages(one) else []
        joined = f"""{name}_long = {self._evidence(one, one.long_ms)}
{name}_short = {self._evidence(one, one.short_ms)}
{name} = join(tables: {{l: {name}_long, s: {name}_short}}, on: ["target", "service"])
  |> map(fn: (r) => ({{target: r.target, service: r.service, rule: "{name}", _time: now(), _value: {value}}}))"""
        return "\n".join([*begun, joined])

    @staticmethod
    def _ages(rule: Rule) -> bool:
        """Whether time before a subject's first request counts: it does where shares do."""
        return rule.kind != "throughput" and not math.isinf(rule.share)

    def _begun(self, length_ms: int) -> str:
        """When each subject was first heard of, as far as twice the longest window goes back."""
        first = f'{self._windows(2 * length_ms, ["requests"], of=length_ms)}\n  |> first()\n  |> group(columns: ["target", "service"])'
        return f"""{first}
  |> bottom(n: 1, columns: ["_time"])
  |> timeShift(duration: -{_window(length_ms)})
  |> keep(columns: ["target", "service", "_time"])"""

    def _evidence(self, rule: Rule, length_ms: int) -> str:
        """What happened in the last `length_ms`, by subject."""
        if rule.kind == "throughput":
            return f"{rule.rule}_minutes(back: {_minutes(rule.long_ms)})\n  |> quiet(back: {_minutes(length_ms)})"
        if math.isinf(rule.share):
            return self._means(length_ms)
        shares = {"error_rate": self._failed, "response_time": self._late, "quality": self._poor}[rule.kind](length_ms)
        return f"{shares}\n  |> aged(begun: {rule.rule}_begun, back: {_minutes(length_ms)})"

    def _windows(self, length_ms: int, fields: Sequence[str], measurement: str = PROVIDER_WINDOW.name, *, of: int = 0) -> str:
        """What ended in the last `length_ms`, in windows that suit that length, or `of`: of ten seconds for an hour, a minute for six, an hour beyond."""
        window = _window(of or length_ms)
        named = " or ".join(f'r._field == "{field}"' for field in fields)
        whose = "" if measurement == LATENCY_HIST.name else f" and {_NO_PROVIDERS}"
        condition = f'r._measurement == "{measurement}" and r.window == "{window}" and ({named}){whose}'
        return (
            f'from(bucket: "{self._prefix}{PROVIDER_WINDOW.buckets[window]}")\n  |> range(start: -{_minutes(length_ms)})\n  |> filter(fn: (r) => {condition})'
        )

    def _failed(self, length_ms: int) -> str:
        return f"""{self._windows(length_ms, _COUNTS)}
  |> group(columns: ["target", "service", "_field"])
  |> sum()
  |> group(columns: ["target", "service"])
  |> pivot(rowKey: ["target", "service"], columnKey: ["_field"], valueColumn: "_value")
  |> map(fn: (r) => ({{r with bad: float(v: r.errors + r.timeouts + r.rate_limited), n: float(v: r.requests - r.cancelled)}}))"""

    def _late(self, length_ms: int) -> str:
        """Of the bar that the objective falls into, the part beyond it, logarithms taken as evenly spread there."""
        bad = _by_service({service: _beyond(within_s) for service, within_s in self._within_s.items()})
        everything = " + ".join(f"r.{name}" for name in LATENCY_HIST.field_names)
        return f"""{self._windows(length_ms, LATENCY_HIST.field_names, LATENCY_HIST.name)}
  |> group(columns: ["target", "service", "_field"])
  |> sum()
  |> toFloat()
  |> group(columns: ["target", "service"])
  |> pivot(rowKey: ["target", "service"], columnKey: ["_field"], valueColumn: "_value")
  |> map(fn: (r) => ({{r with bad: {bad}, n: {everything}}}))"""

    def _poor(self, length_ms: int) -> str:
        """Of windows of a minute at least: each is a row of its own, as means must be weighed."""
        return f"""{self._windows(length_ms, ["quality", "judgements"], of=max(length_ms, 2 * HOUR_MS))}
  |> toFloat()
  |> group(columns: ["target", "service"])
  |> pivot(rowKey: ["_time", "target", "service"], columnKey: ["_field"], valueColumn: "_value")
  |> filter(fn: (r) => exists r.quality and r.judgements > 0.0)
  |> reduce(
    fn: (r, accumulator) => ({{bad: accumulator.bad + r.judgements * (1.0 - r.quality), n: accumulator.n + r.judgements}}),
    identity: {{bad: 0.0, n: 0.0}},
  )"""

    def _means(self, length_ms: int) -> str:
        """Of response times."""
        answers = "r.requests - r.errors - r.rate_limited - r.cancelled"
        return f"""{self._windows(length_ms, ("latency_mean_s", *_COUNTS))}
  |> toFloat()
  |> group(columns: ["target", "service"])
  |> pivot(rowKey: ["_time", "target", "service"], columnKey: ["_field"], valueColumn: "_value")
  |> filter(fn: (r) => exists r.latency_mean_s)
  |> map(fn: (r) => ({{r with n: {answers}}}))
  |> reduce(fn: (r, accumulator) => ({{n: accumulator.n + r.n, total: accumulator.total + r.latency_mean_s * r.n}}), identity: {{n: 0.0, total: 0.0}})"""

    def _before_quiet(self) -> str:
        """Minutes of services beside the usual: that of the day before; for the plain threshold the mean of the hour before, or a day before that."""
        source = f'from(bucket: "{self._prefix}{PROVIDER_WINDOW.buckets["10s"]}")'
        whose = f'r.window == "10s" and r.target == "{ALL}" and r.provider == "{ALL}"'
        condition = f'r._measurement == "{PROVIDER_WINDOW.name}" and r._field == "requests" and {whose}'
        return f"""stop = date.truncate(t: date.sub(d: 30s, from: now()), unit: 1m)
before = (d) => date.sub(d: d, from: stop)
minutes = (start, stop) => {source}
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => {condition})
  |> aggregateWindow(every: 1m, fn: sum, createEmpty: true)
  |> fill(value: 0)
  |> toFloat()
  |> group(columns: ["target", "service"])
burn_rate_minutes = (back) => union(tables: [
  minutes(start: before(d: back), stop: stop) |> map(fn: (r) => ({{r with day: "_value"}})),
  minutes(start: date.sub(d: 1d, from: before(d: back)), stop: before(d: 1d)) |> timeShift(duration: 1d) |> map(fn: (r) => ({{r with day: "usual"}})),
])
  |> group(columns: ["target", "service"])
  |> pivot(rowKey: ["_time", "target", "service"], columnKey: ["day"], valueColumn: "_value")
  |> filter(fn: (r) => exists r._value and exists r.usual)
threshold_minutes = (back) => join(
  tables: {{
    t: minutes(start: before(d: back), stop: stop),
    u: union(tables: [
      minutes(start: date.sub(d: 1h, from: before(d: back)), stop: before(d: back)) |> mean(),
      minutes(start: before(d: 25h), stop: before(d: 1d)) |> mean(),
    ])
      |> group(columns: ["target", "service"])
      |> min(),
  }},
  on: ["target", "service"],
)
  |> map(fn: (r) => ({{_time: r._time, target: r.target, service: r.service, _value: r._value_t, usual: r._value_u}}))
quiet = (tables=<-, back) => tables
  |> filter(fn: (r) => r.usual >= {_number(_USUAL * self._minimum)} and r._time > before(d: back))
  |> group(columns: ["target", "service"])
  |> reduce(
    fn: (r, accumulator) => ({{bad: accumulator.bad + (if r._value < {_number(self._minimum)} then 1.0 else 0.0), n: accumulator.n + 1.0}}),
    identity: {{bad: 0.0, n: 0.0}},
  )"""

    def _out_of_service(self) -> str:
        """Targets that hardly get requests any more, which windows would say nothing of."""
        out = " or ".join(f"r._value == {code}" for code in _OUT)
        bucket = f"{self._prefix}{PROVIDER_STATE.buckets['']}"
        return f"""out_of_service = from(bucket: "{bucket}")
  |> range(start: -{_OUT_MIN}m)
  |> filter(fn: (r) => r._measurement == "{PROVIDER_STATE.name}" and r._field == "code")
  |> map(fn: (r) => ({{r with _value: if {out} then 2.0 else 0.0}}))
  |> mean()
  |> map(fn: (r) => ({{target: r.target, service: r.service, rule: "out_of_service", _time: now(), _value: r._value}}))"""


def _share_times(rule: Limits) -> str:
    limit = _by_service({service: _number(one.share) for service, one in rule.items()})
    return f"least(a: surely(bad: r.bad_l, n: r.n_l, limit: {limit}), b: times(bad: r.bad_s, n: r.n_s, limit: {limit}))"


def _mean_times(rule: Limits) -> str:
    """Means of response times are uncertain by their own size ÷ √n."""
    limit = _by_service({service: _number(one.threshold / 1000) for service, one in rule.items()})
    sure = f"(if r.n_l > 0.0 then math.mMax(x: 0.0, y: 1.0 - {_Z:.6f} / math.sqrt(x: r.n_l)) else 0.0)"
    return f"least(a: times(bad: r.total_l, n: r.n_l, limit: {limit}) * {sure}, b: times(bad: r.total_s, n: r.n_s, limit: {limit}))"


def _by_service(values: Mapping[str, str]) -> str:
    """An expression that is the value of the row's service."""
    own = "".join(
        f"if r.service == {json.dumps(safe_tag(service), ensure_ascii=False)} then {value} else "
        for service, value in values.items()
        if service and value != values[""]
    )
    return f"({own}{values['']})" if own else values[""]


def _beyond(within_s: float) -> str:
    """How many answers took longer than this, from the bars."""
    parts: list[str] = []
    for below, bound in pairwise((0.0, *BOUNDS_S)):
        if bound > within_s:
            part = min(1.0, math.log(bound / within_s) / math.log(bound / below)) if below else 1.0
            parts.append(f"r.{bar(bound)}" if part == 1.0 else f"{part:.6f} * r.{bar(bound)}")
    return f"({' + '.join([*parts, 'r.le_inf'])})"


def _window(length_ms: int) -> str:
    return "10s" if length_ms <= HOUR_MS else "1m" if length_ms < DAY_MS else "1h"


def _number(value: float) -> str:
    return repr(round(float(value), 9))


def _minutes(length_ms: int) -> str:
    return f"{length_ms // MINUTE_MS}m"
