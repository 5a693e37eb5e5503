"""Which rules hold of whom, and which are over: statistics alone, without memory of alerts.

A rule holds when the share of bad events exceeds its limit in both of its windows, in the long one by its Jeffreys lower bound and
with at least five bad events; it is over when both are below 0.8 of the limit, and the upper bound of one of them or of the last hour
is. Time before a subject's first request counts as time within the objective at its present rate: a window of an hour with six minutes
of history is not full of what happened in them. What is to wake somebody must have lasted for two minutes. Means of response times
are uncertain by their own size ÷ √n.

A target that its breaker keeps out of the traffic has hardly any requests: after three minutes without it, what counts is how those
fared that were sent since it went out, not the thousands of before. Where all of the last minute went well, it is coming back: two blips
in a row wake nobody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from statistics import NormalDist
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.alerts.counts import Counts, Sums
from routecast.analytics.alerts.rules import DAY_MS, HOUR_MS, KINDS, MINUTE_MS, Rule, Rules
from routecast.analytics.interval import jeffreys_lower, jeffreys_upper
from routecast.analytics.windows.period import Period
from routecast.models.insights import Subject
from routecast.models.severity import SEVERITIES
from routecast.models.snapshot import State

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

HIGH: Final = SEVERITIES.index("high")
"""From this severity on somebody is woken."""
LEVEL: Final = 0.95
"""Of one-sided bounds."""
_CLEAR_SHARE = 0.8
LEAST_BAD: Final = 5.0
"""Bad events without which nothing is said."""
_LEAST_BAD_MINUTE = 3.0
_MATURE_MS = 2 * MINUTE_MS
_DOWN_MS = 3 * MINUTE_MS
_DOWN_BAD = 3.0
_WELL_N = 4.0
"""So many attempts of a minute without a failure: of a target that fails three in ten, one minute in four looks so, and the next does not."""
_ERRORS, _ANSWERS, _QUALITY = (KINDS.index(kind) for kind in ("error_rate", "response_time", "quality"))


class Judge:
    """Evidence of subjects, a row each; advanced only by periods.

    Args:
        rules: by service, the empty name for all others.
    """

    STATE: ClassVar[tuple[str, ...]] = ("since_ms", "trouble_ms", "down_ms", "down_n", "down_bad")

    def __init__(self, rules: Mapping[str, Rules], counts: Counts) -> None:
        self._rules = rules
        self._counts = counts
        self._subjects: Sequence[Subject] = ()
        self._end_ms = 0.0
        self.window: Callable[[int], Sums] = counts.window
        """What happened in a window of this length."""
        self.full_n: Callable[[int], Floats] = self._full_n
        """Events that a whole window of this length would have, [subjects × kinds]."""
        self.down: Callable[[], Flags] = self._down
        """Targets that are out of the traffic for their failures, and have been for some time."""
        self._shares: Floats = np.zeros((len(rules[""]), 0))
        self._limits: Floats = self._shares
        self.since_ms: Floats = np.zeros(0)
        """When the first request was seen; 0: never."""
        self.trouble_ms: Floats = np.zeros((0, len(KINDS)))
        """Since when a kind has been in trouble; 0: it is not."""
        self.down_ms: Floats = np.zeros(0)
        """Since when a breaker has kept a target out of the traffic; 0: it does not."""
        self.down_n: Floats = np.zeros(0)
        self.down_bad: Floats = np.zeros(0)

    def grow(self, n: int) -> None:
        """Make room for `n` subjects."""
        more = n - len(self.since_ms)
        if more <= 0:
            return
        self.since_ms, self.down_ms, self.down_n, self.down_bad = (np.pad(a, (0, more)) for a in (self.since_ms, self.down_ms, self.down_n, self.down_bad))
        self.trouble_ms = np.pad(self.trouble_ms, ((0, more), (0, 0)))

    def rule(self, subject: int, number: int) -> Rule:
        """A rule with the numbers of this subject's service."""
        return self._rules_of(self._subjects[subject])[number]

    def update(self, period: Period, states: Mapping[str, State]) -> None:
        """Take a period that the counts have taken."""
        if len(period.subjects) != len(self._subjects):
            self._know(period.subjects)
        self._subjects = period.subjects
        self._end_ms = period.end_ms
        self.window, self.full_n, self.down = cache(self._counts.window), cache(self._full_n), cache(self._down)
        self.since_ms = np.where((self.since_ms == 0.0) & (period.requests > 0.0), period.start_ms, self.since_ms)
        out = np.array([subject.kind == "target" and states.get(subject.id) in {"open", "recovering"} for subject in period.subjects], bool)
        self.down_n, self.down_bad = np.where(out, self.down_n + period.judged, 0.0), np.where(out, self.down_bad + period.failed, 0.0)
        self.down_ms = np.where(out, np.where(self.down_ms > 0.0, self.down_ms, period.start_ms), 0.0)
        self._watch(period.start_ms)

    def _down(self) -> Flags:
        critical = self._shares[self._number("error_rate", "critical")]
        long = (self.down_ms > 0.0) & (self._end_ms - self.down_ms >= _DOWN_MS)
        minute = self.window(MINUTE_MS)
        well = (minute.n[:, _ERRORS] >= _WELL_N) & (minute.bad[:, _ERRORS] == 0.0)
        return np.asarray(long & ~well & (self.down_bad >= _DOWN_BAD) & (self.down_bad > critical * self.down_n))

    def holding(self) -> Ints:
        """[subjects × kinds] Number of the most severe rule that holds, -1 where none does."""
        found = np.full(self.trouble_ms.shape, -1, np.int64)
        found[self.down(), _ERRORS] = self._number("error_rate", "critical")
        ripe = (self.trouble_ms > 0.0) & (self._end_ms - self.trouble_ms >= _MATURE_MS)
        ripe[:, _QUALITY] = True  # its windows are long enough, and judgements may be too few to see trouble by the minute
        for number in self._by_severity():
            rule = self._rules[""][number]
            kind = KINDS.index(rule.kind)
            asked = (found[:, kind] < 0) & self._may(rule)
            if SEVERITIES.index(rule.severity) >= HIGH:
                asked &= ripe[:, kind]
            found[self._holds(number, asked), kind] = number
        return found

    def lesser(self, subject: int, number: int) -> int:
        """The most severe rule below this one that holds, and has surely been broken in the last five minutes too; -1: none."""
        severity = SEVERITIES.index(self._rules[""][number].severity)
        recent = self.window(5 * MINUTE_MS)
        asked = np.arange(len(self._subjects)) == subject
        for lesser in self._by_severity():
            rule = self.rule(subject, lesser)
            kind = KINDS.index(rule.kind)
            if rule.kind != self._rules[""][number].kind or SEVERITIES.index(rule.severity) >= severity:
                continue
            bad, n = recent.bad[subject, kind], recent.n[subject, kind]
            breaking = math.isinf(rule.share) or jeffreys_lower(bad, max(0.0, n - bad), LEVEL) > rule.share
            if breaking and self._holds(lesser, asked & self._may(rule)).any():
                return lesser
        return -1

    def over(self, places: Ints, numbers: Ints, drained: Flags) -> Flags:
        """Of alerts by the place of their subject and the number of their rule: whether what made it hold is past, or cannot be seen any more."""
        found = np.zeros(len(places), bool)
        for number in np.unique(numbers).tolist():
            rule, rows = self._rules[""][number], np.flatnonzero(numbers == number)
            kind, own = KINDS.index(rule.kind), places[rows]
            lengths = sorted({rule.short_ms, rule.long_ms, max(HOUR_MS, rule.short_ms)})
            over, seems = np.zeros(len(own), bool), np.ones(len(own), bool)
            for length_ms in lengths:
                below, point = self._below(number, kind, own, self.window(length_ms))
                over |= below
                if length_ms in {rule.short_ms, rule.long_ms}:
                    seems &= point
            blind = self.window(max(HOUR_MS, rule.short_ms)).n[own, kind] <= 0.0
            found[rows] = drained[rows] | (((over & seems) | blind) & ((kind != _ERRORS) | (self.down_ms[own] == 0.0)))
        return found

    def _full_n(self, length_ms: int) -> Floats:
        seen_ms = np.clip(self._end_ms - self.since_ms, MINUTE_MS / 6, length_ms)
        return np.asarray(self.window(length_ms).n * (length_ms / seen_ms)[:, None])

    def _below(self, number: int, kind: int, places: Ints, sums: Sums) -> tuple[Flags, Flags]:
        """Where the upper bound is below 0.8 of the limit, and where the figure itself is."""
        n, bad = sums.n[places, kind], sums.bad[places, kind]
        some = np.maximum(1.0, n)
        if math.isinf(self._rules[""][number].share):
            mean, most = sums.duration_ms[places] / some, _CLEAR_SHARE * self._limits[number, places]
            return (n > 0.0) & (mean_bounds(mean, some, LEVEL)[1] < most), mean < most
        limits = _CLEAR_SHARE * self._shares[number, places]
        point = bad <= limits * n
        below = point & (n > 0.0)
        rows = np.flatnonzero(below)
        if len(rows):
            below[rows] = jeffreys_upper(bad[rows], np.maximum(0.0, n[rows] - bad[rows]), LEVEL) < limits[rows]
        return below, point

    def _holds(self, number: int, asked: Flags) -> Flags:
        rule = self._rules[""][number]
        for length_ms in (rule.short_ms, rule.long_ms):
            if asked.any():
                above = self._mean_above if math.isinf(rule.share) else self._share_above
                asked = above(number, length_ms, asked)
        return asked

    def _mean_above(self, number: int, length_ms: int, asked: Flags) -> Flags:
        sums = self.window(length_ms)
        n = np.maximum(1.0, sums.n[:, _ANSWERS])
        least = sums.duration_ms / n if length_ms < self._rules[""][number].long_ms else mean_bounds(sums.duration_ms / n, n, LEVEL)[0]
        return np.asarray(asked & (least > self._limits[number]))

    def _share_above(self, number: int, length_ms: int, asked: Flags) -> Flags:
        rule = self._rules[""][number]
        kind, share = KINDS.index(rule.kind), self._shares[number]
        bad, n = self.window(length_ms).bad[:, kind], self.full_n(length_ms)[:, kind]
        asked = asked & (bad > share * n)
        if length_ms < rule.long_ms:
            return asked
        asked &= bad >= LEAST_BAD
        places = np.flatnonzero(asked)
        if len(places):  # bounds are dear, and hardly ever needed
            bound = jeffreys_lower(bad[places], np.maximum(0.0, n[places] - bad[places]), LEVEL)
            asked[places] = bound > share[places]
        return asked

    def _may(self, rule: Rule) -> Flags:
        """Whom a rule is about: throughput wakes nobody for a target, whose traffic routers decide, nor before a day is known."""
        if rule.kind != "throughput" or rule.rule == "threshold":
            return np.ones(len(self._subjects), bool)
        known = (self.since_ms > 0.0) & (self._end_ms - self.since_ms >= DAY_MS)
        return known & ~self._targets

    def _watch(self, start_ms: float) -> None:
        """Keep since when each kind has been in trouble."""
        minute, five = self.window(MINUTE_MS), self.window(5 * MINUTE_MS)
        begins = (minute.bad > self._trouble * minute.n) & (minute.bad >= _LEAST_BAD_MINUTE)
        begins |= (five.bad > self._trouble * five.n) & (five.bad >= LEAST_BAD)
        lasts = five.bad >= self._trouble / 2.0 * five.n
        slow = self._limits[self._number("response_time", "medium")]
        begins[:, _ANSWERS] |= minute.duration_ms > slow * np.maximum(1.0, minute.n[:, _ANSWERS])
        lasts[:, _ANSWERS] |= five.duration_ms > slow * np.maximum(1.0, five.n[:, _ANSWERS])
        known = self.trouble_ms > 0.0
        self.trouble_ms = np.where(known, np.where(lasts, self.trouble_ms, 0.0), np.where(begins, start_ms, 0.0))

    def _know(self, subjects: Sequence[Subject]) -> None:
        rules = [self._rules_of(subject) for subject in subjects]
        self._shares = np.array([[rule.share for rule in own] for own in rules]).T
        self._limits = np.array([[rule.threshold for rule in own] for own in rules]).T
        self._targets: Flags = np.array([subject.kind == "target" for subject in subjects], bool)
        high = {kind: [n for n, rule in enumerate(self._rules[""]) if rule.kind == kind and SEVERITIES.index(rule.severity) >= HIGH] for kind in KINDS}
        self._trouble: Floats = np.stack([self._shares[high[kind]].min(axis=0) for kind in KINDS], axis=1)

    def _rules_of(self, subject: Subject) -> Rules:
        return self._rules.get(subject.service or "", self._rules[""])

    def _number(self, kind: str, severity: str) -> int:
        return next(n for n, rule in enumerate(self._rules[""]) if (rule.kind, rule.severity, rule.rule) == (kind, severity, "threshold"))

    def _by_severity(self) -> list[int]:
        return sorted(range(len(self._rules[""])), key=lambda number: (-SEVERITIES.index(self._rules[""][number].severity), number))


def mean_bounds(mean: float | Floats, n: float | Floats, level: float) -> tuple[Floats, Floats]:
    """One-sided bounds of a mean of `n` durations that vary by as much as their mean; the lower is 0 where there are few."""
    reach = NormalDist().inv_cdf(level) / np.sqrt(n)
    return np.asarray(mean * np.maximum(0.0, 1.0 - reach)), np.asarray(mean * (1.0 + reach))
