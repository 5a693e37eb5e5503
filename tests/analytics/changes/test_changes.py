"""Changes as the leader finds them: from a fleet in virtual time, and from totals and groups alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from routecast.analytics.changes.changes import Changes
from routecast.analytics.checkpoint import pack, restore, state_of, unpack
from routecast.analytics.fleet.capacity_fit import CANDIDATES, ELASTIC, Fit, LatencyGroups
from routecast.models.config import TargetConfig
from routecast.models.insights import Change
from routecast.models.rows import TargetTotals

T = 1_700_000_000_000.0
SD = 0.84
TARGETS = [TargetConfig(id=name, provider=f"p{name}", model="m", service="chat", region="eu") for name in ("a", "b", "c")]


class Traffic:
    """Ticks of a second, so many answers of every target in each; nothing waits."""

    def __init__(self, per_s: int = 5, seed: int = 1) -> None:
        self.changes = Changes("chat", TARGETS)
        self.changes.grow(len(TARGETS))
        self.per_s, self.luck, self.at_ms = per_s, np.random.default_rng(seed), T
        self.restarts: list[int] = []
        self.steady = np.ones(len(TARGETS), bool)

    def run(
        self, seconds: int, slower: float = 1.0, failing: float = 0.01, quality: float = 0.9,
        tokens: bool = False,
    ) -> list[Change]:  # fmt: skip
        """What is said while the first target is so much slower, fails so often and answers so well."""
        said: list[Change] = []
        for _ in range(seconds):
            self.at_ms += 1000.0
            n = len(TARGETS) * self.per_s
            target = np.repeat(np.arange(len(TARGETS)), self.per_s)
            ln_tokens = self.luck.normal(5.3, 0.9, n) if tokens else np.zeros(n)
            ln = self.luck.normal(0.0, 0.3 if tokens else SD, n) + 0.8 * (ln_tokens - 5.3) * tokens + np.where(target == 0, math.log(slower), 0.0)
            groups = LatencyGroups(target, np.ones(n), ln, ln**2, np.zeros(n), np.full(n, float(tokens)), ln_tokens)
            new = [self._totals(i, failing if i == 0 else 0.01, quality if i == 0 else 0.9) for i in range(len(TARGETS))]
            fit = Fit(np.full(3, np.inf), np.full(3, ELASTIC), np.full(3, SD**2), np.full(3, 1000.0))
            self.restarts += self.changes.update(self.at_ms, 1.0, new, groups, fit, self.steady).tolist()
            said += self.changes.news
        return said

    def _totals(self, i: int, failing: float, quality: float) -> TargetTotals:
        bad = int(self.luck.binomial(self.per_s, failing))
        mark = round(1e6 * min(1.0, max(0.0, float(self.luck.normal(quality, 0.05)))))
        return TargetTotals(TARGETS[i].id, ok=self.per_s - bad, error=bad, quality_n=1, quality_sum=mark, first_attempts=self.per_s)


def test_a_slow_target_explains_itself() -> None:
    """Who, which metric, since when, from what to what, on which evidence; nobody else is said to have changed."""
    traffic = Traffic()
    assert traffic.run(900) == []
    began_ms = traffic.at_ms
    (first, *more) = traffic.run(120, slower=2.0)
    assert {change.id for change in more} <= {first.id}
    assert (first.subject.id, first.subject.provider, first.subject.region, first.metric, first.worse) == ("a", "pa", "eu", "response_time", True)
    assert abs(first.since_ms - began_ms) < 8_000
    assert first.detected_ms - began_ms < 20_000
    assert first.before == pytest.approx(1000 * math.exp(SD**2 / 2), rel=0.12)
    assert (more or [first])[-1].after / first.before == pytest.approx(2.0, rel=0.3)
    assert first.statistic > first.threshold
    assert first.n >= 10
    *_, last = traffic.run(300)
    assert (last.id, last.ended_by) == (first.id, "returned")
    assert last.version > first.version


def test_failures_and_quality_are_watched_too() -> None:
    """Each is a change of its own; an error ratio that rises and quality that falls are worse."""
    traffic = Traffic()
    traffic.run(900)
    found = [change for change in traffic.run(60, failing=0.4, quality=0.7) if change.version == 1]
    assert sorted((change.metric, change.subject.id, change.worse) for change in found) == [("error_ratio", "a", True), ("quality", "a", True)]
    values = {change.metric: [change.before, change.after] for change in found}
    assert values["error_ratio"] == pytest.approx([0.01, 0.4], abs=0.3)
    assert values["error_ratio"][0] < 0.02
    assert values["quality"] == pytest.approx([0.9, 0.7], abs=0.08)
    ended = [change for change in traffic.run(300) if change.ended_ms]
    assert sorted(change.metric for change in ended) == ["error_ratio", "quality"]


def test_the_estimates_of_a_target_that_changed_are_made_anew() -> None:
    """As soon as it is suspected, which costs little where it was wrong."""
    traffic = Traffic()
    traffic.run(900)
    assert len(traffic.restarts) <= 2
    traffic.restarts.clear()
    while not traffic.restarts:
        assert traffic.run(1, slower=1.6) == []
    said: list[Change] = []
    while not said:
        said = traffic.run(1, slower=1.6)
    assert set(traffic.restarts) == {0}


def test_long_answers_are_not_slow_ones() -> None:
    """Where tokens are told, half a deviation is found in a third of the answers: time is compared with that of answers of the same length."""
    seconds: dict[bool, float] = {}
    for tokens in (True, False):
        traffic = Traffic(per_s=5, seed=3)
        traffic.run(900, tokens=tokens)
        began_ms = traffic.at_ms
        found = [change for change in traffic.run(120, slower=1.5, tokens=tokens) if change.metric == "response_time"]
        seconds[tokens] = (found[0].detected_ms - began_ms) / 1000.0
        assert found[0].subject.id == "a"
    assert seconds[True] <= seconds[False] / 2.5


def test_a_leader_that_takes_over_in_the_middle_of_an_alarm_says_the_same() -> None:
    """From a checkpoint: same ids, same versions, same bytes."""
    one = Traffic()
    one.run(600)
    assert one.run(30, slower=3.0, failing=0.5) != []
    saved = unpack(pack({name: state_of(part) for name, part in one.changes.parts.items()}))
    other = Traffic()
    for name, part in other.changes.parts.items():
        restore(part, saved[name])
    other.at_ms, other.luck.bit_generator.state = one.at_ms, one.luck.bit_generator.state
    assert one.run(240) == other.run(240) != []
    states = [pack({name: state_of(part) for name, part in traffic.changes.parts.items()}) for traffic in (one, other)]
    assert states[0] == states[1]


def test_the_first_answers_after_an_outage_tell_nothing() -> None:
    """The quickest come first; once the target has its whole share again, it is looked at again."""
    traffic = Traffic()
    traffic.run(900)
    traffic.steady[0] = False
    assert traffic.run(60, slower=0.2) == []
    traffic.steady[0] = True
    assert traffic.run(30) == []
    assert traffic.run(60, slower=0.2) != []


def test_another_choice_of_capacity_is_no_change() -> None:
    """The fit may change its mind of how many a target serves at once: its usual time is known for every choice."""
    changes, luck = Changes("chat", TARGETS), np.random.default_rng(2)
    changes.grow(3)
    for tick in range(900):
        target, met = np.repeat(np.arange(3), 5), luck.integers(0, 40, 15).astype(float)
        ln = luck.normal(0.0, 0.3, 15) + np.log(np.maximum(1.0, (met + 1.0) / 8.0))
        choice = np.full(3, int(np.flatnonzero((8 if tick < 600 else 6) == CANDIDATES)[0]))
        fit = Fit(CANDIDATES[choice], choice, np.full(3, 0.09), np.full(3, 1000.0))
        changes.update(T + 1000.0 * tick, 1.0, [TargetTotals("")] * 3, LatencyGroups(target, np.ones(15), ln, ln**2, met), fit, np.ones(3, bool))
        assert changes.news == []


def test_counts_that_fall_are_no_evidence() -> None:
    """Where rows were lost, totals may be less than they were."""
    changes = Changes("chat", TARGETS)
    changes.grow(3)
    nothing = LatencyGroups(np.zeros(0, np.int64), *(np.zeros(0) for _ in range(6)))
    fit = Fit(np.full(3, np.inf), np.full(3, ELASTIC), np.zeros(3), np.zeros(3))
    for tick in range(20):
        changes.update(T + 1000.0 * tick, 1.0, [TargetTotals("", ok=-100, error=-50, quality_n=-5, first_attempts=-10)] * 3, nothing, fit, np.ones(3, bool))
    assert changes.news == []
