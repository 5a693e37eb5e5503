"""What an alert says: its figures, the evidence of both windows, and one sentence for somebody who has just been woken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.alerts.incidents import Active
from routecast.analytics.alerts.judge import Judge, mean_bounds
from routecast.analytics.alerts.rules import HOUR_MS, KINDS, MINUTE_MS, Rule
from routecast.analytics.digits import six_digits
from routecast.analytics.interval import jeffreys_lower, jeffreys_upper
from routecast.models.insights import AlertEvidence, Subject

Floats = NDArray[np.float64]

_SIDE = 0.975
"""Of a 95 % interval."""
_MOVED: Final = 1.5
_NOTHING: Final = 0.1
_NOUNS: Final = {"error_rate": "failures", "response_time": "slow answers", "throughput": "silence", "quality": "poor quality"}


class Words(NamedTuple):
    """The figures of an alert, and what they mean."""

    title: str
    value: float
    evidence: tuple[AlertEvidence, ...]


def words_of(alerts: Sequence[Active], judge: Judge, rates: Floats) -> list[Words]:
    """What to say of alerts now; `rates` are the present requests per minute of all subjects."""
    if not alerts:
        return []
    rules = [judge.rule(alert.place, alert.rule) for alert in alerts]
    said = _evidence(alerts, rules, judge)
    found: list[Words] = []
    for alert, rule, evidence in zip(alerts, rules, said, strict=True):
        rate = float(rates[alert.place])
        found.append(Words(_title(alert, rule, judge, evidence, rate), figure(alert, judge, rate), evidence))
    return found


def moved(alert: Active, judge: Judge, rate: float) -> bool:
    """Whether the figure of an alert is half as much again as it was when it was said last, or a third less; a tenth of the limit is as good as nothing."""
    rule, now = judge.rule(alert.place, alert.rule), figure(alert, judge, rate)
    limit, before = rule.threshold, alert.said_value
    if rule.unit == "score":
        limit, before, now = 1.0 - limit, 1.0 - before, 1.0 - now
    less, more = sorted(max(value, _NOTHING * limit) for value in (before, now))
    return more >= _MOVED * less


def ended(alert: Active, now_ms: float) -> str:
    """What to say when it is over."""
    return f"{_who(alert.subject)}: {_NOUNS[alert.kind]} over, after {length_of(max(MINUTE_MS, now_ms - alert.started_ms))}"


def _evidence(alerts: Sequence[Active], rules: Sequence[Rule], judge: Judge) -> list[tuple[AlertEvidence, ...]]:
    """Of every alert, what its long and its short window say. The bounds are found together: alone, each costs as much as a hundred."""
    asked = [(alert.place, rule, length_ms) for alert, rule in zip(alerts, rules, strict=True) for length_ms in dict.fromkeys((rule.long_ms, rule.short_ms))]
    ns, bads = (np.array([getattr(judge.window(ms), name)[place, KINDS.index(rule.kind)] for place, rule, ms in asked]) for name in ("n", "bad"))
    good = np.maximum(0.0, ns - bads)
    bounds = zip(jeffreys_lower(bads, good, _SIDE).tolist(), jeffreys_upper(bads, good, _SIDE).tolist(), strict=True)
    found = iter(
        [
            _window(rule, length_ms, n, bad, low, high, judge.window(length_ms).duration_ms[place])
            for (place, rule, length_ms), n, bad, (low, high) in zip(asked, ns.tolist(), bads.tolist(), bounds, strict=True)
        ]
    )
    return [tuple(islice(found, len({rule.long_ms, rule.short_ms}))) for rule in rules]


def _window(rule: Rule, length_ms: int, n: float, bad: float, low: float, high: float, duration_ms: float) -> AlertEvidence:
    if not n or rule.unit == "per_min":
        return AlertEvidence(window_ms=length_ms, n=round(n), bad=_rounded(bad))
    if rule.unit == "ms":
        value, low, high = duration_ms / n, *(float(bound) for bound in mean_bounds(duration_ms / n, n, _SIDE))
    else:
        value, low, high = (_in_unit(rule, share) for share in ((bad / n, high, low) if rule.unit == "score" else (bad / n, low, high)))
    return AlertEvidence(window_ms=length_ms, n=round(n), bad=_rounded(bad), value=_rounded(value), low=_rounded(low), high=_rounded(high))


def _in_unit(rule: Rule, share: float) -> float:
    if rule.unit == "burn_rate":
        return share / rule.allowed if rule.allowed else 0.0
    return 1.0 - share if rule.unit == "score" else share


def figure(alert: Active, judge: Judge, rate: float) -> float:
    """What the long window of its rule shows, in the unit of the rule; `rate` is the present requests per minute of its subject."""
    place, rule = alert.place, judge.rule(alert.place, alert.rule)
    if rule.unit == "per_min":
        return _rounded(rate)
    if rule.unit == "ratio" and judge.down()[place]:
        return _rounded(float(judge.down_bad[place] / judge.down_n[place]))
    kind, sums = KINDS.index(rule.kind), judge.window(rule.long_ms)
    n = float((judge.full_n(rule.long_ms) if rule.unit == "burn_rate" else sums.n)[place, kind])
    if not n:
        return 0.0
    return _rounded(float(sums.duration_ms[place]) / n if rule.unit == "ms" else _in_unit(rule, float(sums.bad[place, kind]) / n))


def _title(alert: Active, rule: Rule, judge: Judge, evidence: tuple[AlertEvidence, ...], rate: float) -> str:
    since = f"since {datetime.fromtimestamp(_began(alert, judge) / 1000.0, UTC):%H:%M} UTC"
    who, said = _who(alert.subject), evidence[0] if alert.calm_ms or not evidence[-1].bad else evidence[-1]  # the short window says nothing of what has stopped
    if alert.kind == "error_rate" and judge.down()[alert.place]:
        place = alert.place
        return f"{who} is out of service {since}: {judge.down_bad[place]:,.0f} of {judge.down_n[place]:,.0f} attempts failed"
    if alert.kind == "throughput":
        return f"{who}: {rate:,.0f} requests in the last minute where there usually are many more, {since}"
    return f"{who}: {_shown(alert.kind, rule, said, since)}"


def _shown(kind: str, rule: Rule, said: AlertEvidence, since: str) -> str:
    """What a window shows of failures, slow answers or quality."""
    span = length_of(said.window_ms)
    if not said.n:
        return f"{_NOUNS[kind]} {since}; nothing in {span} tells whether that is over"
    if rule.unit == "ms":
        return f"answers take {_seconds(said.value or 0.0)} on average in {span}, {since}; the limit is {_seconds(rule.threshold)}"
    share = said.bad / said.n
    if kind == "error_rate":
        return f"{_percent(share)} of {said.n:,} attempts in {span} failed, {since}; {_percent(rule.allowed)} may"
    if kind == "response_time":
        return f"{_percent(share)} of {said.n:,} answers in {span} were slower than the objective, {since}; {_percent(rule.allowed)} may be"
    return f"quality {1.0 - share:.2f} over {said.n:,} judgements in {span}, {since}; {1.0 - rule.allowed:.2f} is asked for"


def _began(alert: Active, judge: Judge) -> float:
    trouble_ms = float(judge.trouble_ms[alert.place, KINDS.index(alert.kind)])
    down_ms = float(judge.down_ms[alert.place]) if alert.kind == "error_rate" else 0.0
    return min([at_ms for at_ms in (trouble_ms, down_ms, alert.started_ms) if at_ms > 0.0])


def _who(subject: Subject) -> str:
    if subject.kind == "system":
        return "All services together"
    if subject.kind == "service":
        return f"Service {subject.id}"
    labels = " ".join(label for label in (subject.provider, subject.model) if label)
    return f"Target {subject.id}" + (f" ({labels})" if labels else "")


def length_of(ms: float) -> str:
    """A length of time, in the largest unit that suits it."""
    for unit, name in ((24.0 * HOUR_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min")):
        if ms >= (1.0 if name == "min" else 2.0) * unit or (ms >= unit and not ms % unit):
            return f"{ms / unit:.0f} {name}"
    return f"{ms / 1000.0:.0f} s"


def _percent(share: float) -> str:
    return f"{100.0 * share:.3g} %"


def _seconds(ms: float) -> str:
    return f"{ms / 1000.0:.2g} s" if ms < 10_000.0 else f"{ms / 1000.0:.0f} s"


def _rounded(value: float) -> float:
    return six_digits(value) if math.isfinite(value) else 0.0
