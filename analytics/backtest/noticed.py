"""Which alert named each incident of a run, and where none did, how near the nearest rule came to holding.

Rules are made for months of a fleet: they count over a minute to three days, and ask for certainty. A run of minutes whose policy leaves a failing
target after a few requests has little to be certain of: a low recall alone would look like a fault of the alerts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.alerts.alert_words import length_of
from routecast.analytics.alerts.counts import WINDOWS
from routecast.analytics.alerts.judge import LEAST_BAD, LEVEL, mean_bounds
from routecast.analytics.alerts.rules import Rule, Rules
from routecast.analytics.backtest.incidents import AFTERMATH_MS, KINDS, explains
from routecast.analytics.backtest.play import OUTCOMES, Played
from routecast.analytics.interval import jeffreys_lower
from routecast.models.backtest import Incident, Noticed
from routecast.models.insights import Alert

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_LOOK_MS: Final = 10_000.0
_SHOWS: Final = ("error_rate", "response_time")
"""Kinds of alerts that single calls tell of."""
_BRINGS: Final[Mapping[str, str]] = {"failing": "error_rate", "refusing": "error_rate", "slow": "response_time"}
"""What a trouble should be noticed by, where its label names no kind of alert."""
_OK, _TIMEOUT = OUTCOMES.index("ok"), OUTCOMES.index("timeout")


def noticed(played: Played, alerts: Sequence[Alert], incidents: Sequence[Incident], rules: Mapping[str, Rules]) -> tuple[Noticed, ...]:
    """Every incident with the first alert that names it, or why there is none.

    Args:
        played: the run.
        alerts: of the run, as they were last said.
        incidents: what should have been named.
        rules: by service, as the alerts followed them.
    """
    own = rules.get(played.scene.service, rules[""])
    within_ms = next(rule.target for rule in own if rule.unit == "ms")
    return tuple(_noticed(_calls(played, incident.target, within_ms), alerts, incident, own) for incident in incidents)


def _noticed(calls: _Calls, alerts: Sequence[Alert], incident: Incident, rules: Rules) -> Noticed:
    from_s, until_s = ((ms - calls.start_ms) / 1000.0 for ms in (incident.from_ms, incident.until_ms))
    met = (calls.ended_ms >= incident.from_ms) & (calls.ended_ms < incident.until_ms + AFTERMATH_MS)
    named = min((alert for alert in alerts if explains(incident, alert)), key=lambda alert: alert.started_ms, default=None)
    return Noticed(
        target=incident.target, kind=incident.kind, from_s=from_s, until_s=until_s, attempts=int(met.sum()),
        bad=int((met & (calls.failed | calls.slow)).sum()), alert=f"{named.kind} of {named.subject.id}, {named.severity}" if named is not None else "",
        why="" if named is not None else _why(calls, incident, rules),
    )  # fmt: skip


class _Calls(NamedTuple):
    """Calls to one target."""

    start_ms: float
    """Of the run, epoch ms."""
    ended_ms: Floats
    """Epoch ms."""
    took_ms: Floats
    failed: Bools
    timed: Bools
    """Successes and timeouts: what response times are of."""
    slow: Bools
    """Of those, what took longer than the objective."""

    def of(self, rule: Rule, length_ms: float, at_ms: float) -> tuple[float, float, float]:
        """(events, bad ones, Σ ms) of the window that ends then, as the rule counts them; it begins with a full slot."""
        slot_ms = WINDOWS[int(length_ms)].slot_ms
        inside = (self.ended_ms >= (at_ms - length_ms) // slot_ms * slot_ms) & (self.ended_ms < at_ms)
        counted, bad = (inside, self.failed) if rule.kind == "error_rate" else (inside & self.timed, self.slow)
        return float(counted.sum()), float((bad & inside).sum()), float(self.took_ms[counted].sum())


def _calls(played: Played, target: str, within_ms: float) -> _Calls:
    mine = played.target == played.scene.names.index(target) if target in played.scene.names else np.zeros(len(played.target), bool)
    ended_ms, took_ms, outcome = played.ended_ms[mine], (played.ended_ms - played.begun_ms)[mine], played.outcome[mine]
    timed, start_ms = (outcome == _OK) | (outcome == _TIMEOUT), played.scene.requests.start_ms
    return _Calls(start_ms, start_ms + ended_ms, took_ms, outcome != _OK, timed, (outcome == _TIMEOUT) | (timed & (took_ms > within_ms)))


class _Near(NamedTuple):
    """A moment, and how near a rule was to holding."""

    ratio: float
    """Of what is seen to the limit, in the worse of both windows; from 1 on the rule holds."""
    rule: Rule
    n: float
    bad: float
    value: float
    """Of the long window, what is certain: a share, or a mean in ms."""


def _why(calls: _Calls, incident: Incident, rules: Rules) -> str:
    from_ms, until_ms = incident.from_ms, incident.until_ms + AFTERMATH_MS
    lasted = f"it lasted {(incident.until_ms - from_ms) / 1000.0:.0f} s"
    looks = np.arange((max(from_ms, calls.start_ms) // _LOOK_MS + 1) * _LOOK_MS, until_ms + _LOOK_MS, _LOOK_MS).tolist()
    if not ((calls.ended_ms >= from_ms) & (calls.ended_ms < until_ms)).any():
        return f"nobody asked the target; {lasted}"
    kind = incident.kind if incident.kind in KINDS else _BRINGS.get(incident.kind)
    wanted = [rule for rule in rules if rule.kind in _SHOWS and kind in {None, rule.kind}]
    near = max((near for at_ms in looks for near in _nearness(calls, wanted, at_ms)), key=lambda near: near.ratio, default=None)
    if near is None:
        return f"no rule for {incident.kind} held; {lasted}"
    if near.ratio >= 1.0:
        doubt = "but not for the two minutes after which somebody is woken" if near.rule.severity in {"critical", "high"} else "by a hair"
        return f"{_asked(near.rule)}, and that was so, {doubt}; {lasted}"
    return f"{_asked(near.rule)}; {_seen(near)}; {lasted}"


def _nearness(calls: _Calls, rules: Sequence[Rule], at_ms: float) -> Iterator[_Near]:
    for rule in rules:
        (n, bad, took_ms), (short_n, short_bad, short_ms) = (calls.of(rule, length_ms, at_ms) for length_ms in (rule.long_ms, rule.short_ms))
        if not n or not short_n:
            continue
        if math.isinf(rule.share):
            value, short, limit = float(mean_bounds(took_ms / n, n, LEVEL)[0]), short_ms / short_n, rule.threshold
        else:
            # The time before a target's first request counts as time within the objective.
            seen_ms, limit = at_ms - calls.start_ms, rule.share
            full_n = n * max(1.0, rule.long_ms / seen_ms)
            value, short = float(jeffreys_lower(bad, max(0.0, full_n - bad), LEVEL)), short_bad / (short_n * max(1.0, rule.short_ms / seen_ms))
            value = value if bad >= LEAST_BAD else min(value, limit * bad / LEAST_BAD)
        yield _Near(min(value, short) / limit, rule, n, bad, value)


def _asked(rule: Rule) -> str:
    length = length_of(rule.long_ms)
    if math.isinf(rule.share):
        return f"the nearest rule ({rule.severity}) asks for a mean above {rule.threshold / 1000.0:g} s over {length} for certain"
    what = "failures" if rule.kind == "error_rate" else "slow answers"
    return f"the nearest rule ({rule.severity}) asks for more than {rule.share:.1%} {what} over {length} for certain"


def _seen(near: _Near) -> str:
    if math.isinf(near.rule.share):
        return f"of {near.n:.0f} answers no more than {near.value / 1000.0:.1f} s is certain"
    if near.bad < LEAST_BAD:
        return f"there were {near.bad:.0f} of {near.n:.0f}, and it needs {LEAST_BAD:.0f}"
    return f"with {near.bad:.0f} of {near.n:.0f} no more than {near.value:.1%} is certain"
