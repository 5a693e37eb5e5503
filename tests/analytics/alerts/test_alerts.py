from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from routecast import Config
from routecast.analytics.alerts.alerts import Alerts
from routecast.analytics.alerts.rules import rules_of
from routecast.analytics.alerts.silences import Match
from routecast.analytics.checkpoint import pack, restore, state_of, unpack
from routecast.analytics.insights.standing import UNHEARD_MS
from routecast.analytics.windows.period import Period
from routecast.models.config import Intervals, TargetConfig
from routecast.models.insights import Alert, Subject, decode_insight, encode_insight
from routecast.models.snapshot import State

T = 1_700_006_400_000.0
"""A midnight."""
PERIOD_MS = 10_000.0
TARGETS = ("a", "b", "c", "d")


def config(**over: object) -> Config:
    """Four targets of one service."""
    return Config.model_validate({"target": [TargetConfig(id=name, provider=f"p-{name}", model="m", service="chat") for name in TARGETS], **over})


class Room:
    """Alerts, and everything they have said."""

    def __init__(self, settings: Config | None = None, at_ms: float = T) -> None:
        self.config = settings or config()
        self.alerts = Alerts(self.config)
        self.now_ms = at_ms
        self.said: list[Alert] = []

    def run(
        self, seconds: float, *, failing: Mapping[str, float] | float = 0.0, n: Mapping[str, float] | float = 20, states: Mapping[str, State] | None = None,
        ms: Mapping[str, float] | float = 500.0, slow: float = 0.0, quality: float | None = None, every_s: float = 10.0,
    ) -> list[Alert]:  # fmt: skip
        """Let periods pass: `n` attempts in each and to each target, of which these shares fail; what was said in them."""
        found: list[Alert] = []
        for _ in range(round(seconds / every_s)):
            start_ms, self.now_ms = self.now_ms, self.now_ms + every_s * 1000.0
            period = _period(start_ms, self.now_ms, _row(n) * every_s / 10.0, _row(failing), _row(ms), slow, quality)
            found += self.alerts.check(period, {**dict.fromkeys(TARGETS, "ok"), **(states or {})})
        self.said += found
        return found

    def successor(self) -> Room:
        """A new leader that continues from the bytes of this one's state."""
        new = Room(self.config, self.now_ms)
        state = unpack(pack({name: state_of(part) for name, part in self.alerts.parts.items()}))
        for name, part in new.alerts.parts.items():
            restore(part, state[name])
        return new


def pages(said: list[Alert]) -> list[Alert]:
    """What woke somebody because it began or became worse."""
    return [alert for alert in said if alert.notify and alert.state != "cleared" and alert.severity in {"high", "critical"}]


def _row(value: Mapping[str, float] | float) -> NDArray[np.float64]:
    usual = 0.0 if isinstance(value, Mapping) else float(value)
    if isinstance(value, Mapping) and "*" in value:
        usual = value["*"]
    return np.array([value.get(name, usual) if isinstance(value, Mapping) else usual for name in TARGETS])


def _period(
    start_ms: float, end_ms: float, n: NDArray[np.float64], failing: NDArray[np.float64], ms: NDArray[np.float64], slow: float, quality: float | None
) -> Period:
    failed = np.floor(n * failing + 1e-9)
    ok = n - failed
    none = np.zeros(len(TARGETS) + 2)

    def every(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([[values.sum()], values, [values.sum()]])

    subjects = (
        Subject(kind="system", id="system"),
        *(Subject(kind="target", id=name, provider=f"p-{name}", model="m", service="chat") for name in TARGETS),
        Subject(kind="service", id="chat", service="chat"),
    )
    judged = ok if quality is not None else ok * 0.0
    return Period(
        start_ms=start_ms, end_ms=end_ms, subjects=subjects, ok=every(ok), error=every(failed), timeout=none, rate_limited=none, requests=every(n),
        slow=every(ok * slow), duration_n=every(ok), duration_ms=every(ok * ms), ttft_n=none, ttft_ms=none, tpot_n=none, tpot_ms=none,
        quality_n=every(judged), quality_sum=every(judged * (quality or 0.0)), cost_usd=none,
    )  # fmt: skip


def test_a_target_that_fails_wakes_somebody_once_and_tells_when_it_is_over() -> None:
    """Within five minutes, with its evidence; five minutes of peace end it."""
    room = Room()
    room.run(1800)
    said = room.run(1800, failing={"b": 1.0})
    page = pages(said)[0]
    assert len(pages(said)) == 1
    assert (page.severity, page.subject.id, page.at_ms - T - 1_800_000 <= 300_000) == ("critical", "b", True)
    assert [evidence.window_ms for evidence in page.evidence] == [300_000, 60_000]
    assert page.evidence[1].value == 1.0
    assert "Target b (p-b m)" in page.title
    assert "failed, since 00:30 UTC" in page.title
    assert [alert for alert in room.run(500) if alert.state == "cleared" and alert.subject.id == "b"] == []
    over = room.run(700)
    assert [(alert.incident, alert.severity) for alert in over if alert.notify] == [(page.incident, "critical")]
    assert "failures over" in next(alert.title for alert in over if alert.notify)
    assert not [alert for alert in room.run(1200) if alert.state != "cleared"]


def test_an_alert_that_lasts_is_heard_of_in_time_however_seldom_alerts_are_checked() -> None:
    """Who reads takes an alert for over of which nothing was said for longer."""
    most_ms = next(limit.le for limit in Intervals.model_fields["alert_check_ms"].metadata if hasattr(limit, "le"))
    room = Room(config(intervals={"alert_check_ms": most_ms}))
    room.run(3600)
    said = [alert.at_ms for alert in room.run(6 * 3600, failing={"b": 0.5}) if alert.subject.id == "b"]
    assert len(said) > 5
    assert max(later - earlier for earlier, later in itertools.pairwise(said)) <= UNHEARD_MS


def test_an_alert_of_a_target_that_nobody_asks_any_more_says_so() -> None:
    """Not that none of no attempts failed."""
    room = Room()
    room.run(3600)
    room.run(600, failing={"b": 1.0})
    silent = next(alert for alert in room.run(1800, n=0) if alert.subject.id == "b" and alert.state == "updated")
    assert silent.title == "Target b (p-b m): failures since 01:00 UTC; nothing in 5 min tells whether that is over"


def test_alerts_are_checked_as_often_as_configured() -> None:
    """At the same times whoever leads; what happens in between is counted all the same."""
    room = Room(config(intervals={"alert_check_ms": 60_000}))
    room.run(3600)
    room.run(1030, failing={"a": 1.0})
    room = room.successor()
    said = [*room.run(20, failing={"a": 1.0}), *room.run(1200)]
    assert said
    assert {alert.at_ms % 60_000 for alert in said} == {0.0}
    assert [alert.state for alert in said if alert.subject.id == "a" and alert.severity == "critical"][-1] == "cleared"


def test_a_partial_failure_wakes_within_five_minutes() -> None:
    """30 % of the attempts to one target of four."""
    room = Room()
    room.run(7200)
    said = pages(room.run(300, failing={"c": 0.3}))
    assert [(alert.kind, alert.severity, alert.subject.id) for alert in said] == [("error_rate", "critical", "c")]


def test_what_one_rule_ends_another_of_the_same_severity_goes_on_with() -> None:
    """A target that fails less than the plain threshold asks for, and still burns what is allowed: nobody is told that it is over, nor woken again."""
    room = Room()
    room.run(600, n=50)
    room.run(1500, failing={"a": 0.4}, n=50)
    said = room.run(1500, failing={"a": 0.08}, n=50)
    assert len(pages(room.said)) == 1
    assert {alert.severity for alert in said if alert.subject.id == "a"} == {"critical"}
    assert {alert.rule for alert in said if alert.subject.id == "a"} == {"threshold", "burn_rate"}


@pytest.mark.untraced
@given(st.lists(st.tuples(st.sampled_from(TARGETS), st.sampled_from([0.5, 1.0]), st.integers(1, 6), st.integers(30, 120)), max_size=5))
@example([("a", 1.0, 6, 30)] * 2)
@settings(max_examples=15)
def test_blips_wake_nobody(blips: list[tuple[str, float, int, int]]) -> None:
    """Up to a minute of failures, five minutes apart, right after the beginning too."""
    room = Room()
    for target, share, periods, pause in blips:
        room.run(10 * periods, failing={target: share})
        room.run(10 * pause)
    assert pages(room.said) == []


def test_a_few_failures_say_nothing_and_a_quiet_target_that_only_fails_wakes_somebody() -> None:
    """At one request a minute, a share is nothing before five have failed."""
    room = Room()
    quiet = {"a": 1 / 6, "*": 20.0}
    assert room.run(7200, n=quiet, every_s=60) + room.run(240, n=quiet, failing={"a": 1.0}, every_s=60) == []
    assert room.run(7200, n=quiet, every_s=60) == []
    assert [alert.subject.id for alert in pages(room.run(480, n=quiet, failing={"a": 1.0}, every_s=60))] == ["a"]


def test_a_window_is_not_full_of_what_happened_in_its_first_minutes() -> None:
    """4 % of failures in the first ten minutes are little of an hour's allowance; after hours they are too much of six."""
    room = Room(config(thresholds={"error_ratio": {"warning": 0.5, "critical": 0.9}}))
    assert room.run(600, n=50, failing=0.04) == []
    assert {alert.severity for alert in pages(room.run(18_000, n=50, failing=0.04))} == {"high"}


@pytest.mark.untraced
def test_a_slow_burn_is_told_without_waking_anybody() -> None:
    """Twice the allowed share, for two days."""
    room = Room()
    said = room.run(172_800, n=500, failing=0.01, every_s=60)
    assert {alert.severity for alert in said} == {"low"}
    assert pages(said) == []


def test_an_objective_that_allows_much_still_knows_a_total_failure() -> None:
    """14.4 times 20 % would be more than everything."""
    lax = Config.model_validate({**config().model_dump(), "routing": {"objective": {"success_ratio": 0.8}}})
    rules = [rule for rule in rules_of(lax)["chat"] if rule.rule == "burn_rate" and rule.severity == "critical" and rule.kind == "error_rate"]
    assert [rule.share for rule in rules] == [0.6]


def test_a_target_that_its_breaker_keeps_out_is_told_by_its_probes() -> None:
    """Hardly any of the attempts of the last five minutes failed, because hardly any were made; three minutes tell a blip from an outage."""
    room = Room()
    room.run(3600)
    out: dict[str, State] = {"b": "open"}
    probes = {"b": 1.0, "*": 26.0}
    assert pages(room.run(170, n=probes, failing={"b": 1.0}, states=out)) == []
    page = pages(room.run(60, n=probes, failing={"b": 1.0}, states=out))
    assert [alert.subject.id for alert in page] == ["b"]
    assert "Target b (p-b m) is out of service since 01:00 UTC: 18 of 18 attempts failed" in page[0].title
    assert room.run(3600, n={"b": 0.0, "*": 26.0}, states=out)[-1].state != "cleared"
    assert [alert.state for alert in room.run(900) if alert.notify] == ["cleared"]


def test_a_target_that_is_coming_back_wakes_nobody() -> None:
    """Two blips keep it out for three minutes; its probes have gone well for the last of them. Where they have not, somebody is woken."""
    out: dict[str, State] = {"b": "recovering"}
    for failing, woken in ((0.0, 0), (1.0, 1)):
        room = Room()
        room.run(600)
        said = room.run(20, failing={"b": 1.0}, states=out)
        said += room.run(100, n={"*": 20, "b": 1}, failing={"b": 1.0}, states=out)
        said += room.run(120, n={"*": 20, "b": 1}, failing={"b": failing}, states=out)
        assert len(pages(said)) == woken


def test_what_a_failing_target_also_is_wakes_nobody() -> None:
    """It is slow and bad as well: that is said, and that its failures explain it."""
    room = Room()
    room.run(3600, quality=0.95)
    said = room.run(3600, failing={"a": 0.5}, ms={"a": 30_000.0, "*": 500.0}, quality=0.95)
    slow = next(alert for alert in said if alert.kind == "response_time" and alert.subject.id == "a" and alert.inhibited_by)
    cause = next(alert for alert in said if alert.kind == "error_rate" and alert.subject.id == "a")
    assert (slow.inhibited_by, slow.incident) == (cause.id, cause.incident)
    assert len(pages(said)) == 1


def test_everything_down_is_one_incident_of_the_service() -> None:
    """Four targets, a service and the system; somebody is woken once, and the service explains its targets."""
    room = Room()
    room.run(3600)
    said = room.run(1800, failing=1.0)
    assert len(pages(said)) == 1
    assert len({alert.incident for alert in said}) == 1
    service = next(alert.id for alert in said if alert.subject.kind == "service")
    newest = {alert.id: alert for alert in said}
    assert {newest[alert.id].inhibited_by for alert in said if alert.subject.kind != "service"} == {service}
    assert len([alert for alert in room.run(1200) if alert.notify]) == 1


def test_two_targets_that_fail_hours_apart_are_two_incidents() -> None:
    """While the first still fails, the second is news."""
    room = Room()
    room.run(3600)
    room.run(7200, failing={"a": 0.2})
    said = pages(room.run(900, failing={"a": 0.2, "c": 1.0}))
    assert [alert.subject.id for alert in said] == ["c"]
    assert said[0].incident != next(alert.incident for alert in room.said if alert.subject.id == "a")


def test_the_hour_after_an_outage_is_not_held_against_a_blip() -> None:
    """What was told is forgiven."""
    room = Room()
    room.run(3600)
    room.run(3000, failing={"a": 1.0})
    room.run(900)
    assert pages(room.run(30, failing={"a": 1.0}) + room.run(900)) == []


def test_what_a_target_did_is_not_held_against_its_service_when_it_is_over() -> None:
    """An hour of failures of one target of four is more than the service may have in six."""
    room = Room()
    room.run(3600)
    room.run(4000, n=7, failing={"a": 0.3})
    said = room.run(7200, n=7)
    assert pages(said) == []
    assert {alert.state for alert in said if alert.notify} == {"cleared"}


def test_slow_answers_are_told_by_their_mean_and_by_the_objective() -> None:
    """Above three seconds on average is to be looked at; above ten is to wake somebody."""
    room = Room()
    room.run(3600)
    assert {(alert.rule, alert.severity, alert.unit) for alert in room.run(300, ms=4000.0)} == {("threshold", "medium", "ms")}
    assert [alert.severity for alert in pages(room.run(600, ms=14_000.0))] == ["critical"]
    other = Room()
    other.run(3600)
    burning = pages(other.run(1800, slow=0.25))
    assert {(alert.rule, alert.severity, alert.unit) for alert in burning} == {("burn_rate", "critical", "burn_rate")}
    assert "slower than the objective" in burning[0].title


def test_quality_below_what_is_asked_is_told() -> None:
    """0.5 where 0.7 is the least."""
    room = Room()
    room.run(3600, quality=0.95)
    said = room.run(3600, quality=0.5)
    assert {(alert.kind, alert.severity) for alert in said} >= {("quality", "medium")}
    assert "quality 0.5" in next(alert.title for alert in said if alert.kind == "quality" and alert.rule == "threshold")


@pytest.mark.untraced
def test_silence_is_told_only_where_there_usually_is_traffic() -> None:
    """After a day, a service that falls silent at once wakes somebody; a service that sleeps, and a drained target, never do."""
    busy = Room()
    busy.run(90_000, every_s=60)
    fallen = busy.run(3600, n=0)
    assert [(alert.kind, alert.subject.kind) for alert in pages(fallen)] == [("throughput", "service")]
    drained = Room()
    drained.run(90_000, every_s=60)
    assert drained.run(3600, n={"a": 0.0, "*": 26.0}, states={"a": "drained"}) == []
    sleeper = Room()
    for minute in range(2880):
        sleeper.run(60, n=20 * max(0.0, math.cos(2 * math.pi * minute / 1440)), every_s=60)
    assert pages(sleeper.said) == []
    assert [alert for alert in sleeper.said if alert.started_ms > T + 86_400_000] == []


def test_a_silence_keeps_from_waking_but_not_from_saying() -> None:
    """When it ends and the trouble does not, somebody is woken."""
    room = Room()
    room.run(3600)
    room.alerts.silence(Match(subject="a"), room.now_ms + 1_800_000)
    said = room.run(1790, failing={"a": 1.0})
    assert pages(said) == []
    assert {alert.silenced_until_ms for alert in said if alert.subject.id == "a"} == {T + 5_400_000}
    assert [alert.subject.id for alert in pages(room.run(60, failing={"a": 1.0}))] == ["a"]


def test_a_drained_target_has_no_alerts_after_a_while() -> None:
    """An operator took it out, and knows."""
    room = Room()
    room.run(3600)
    room.run(900, failing={"a": 1.0})
    said = room.run(600, n={"a": 0.0, "*": 26.0}, states={"a": "drained"})
    assert [alert.subject.id for alert in said if alert.state == "cleared" and alert.subject.kind == "target"] == ["a"]


def test_versions_rise_and_ids_stay_from_raise_to_clear() -> None:
    """Every alert begins once, ends once, and names what it says."""
    room = Room()
    room.run(3600)
    room.run(2400, failing={"a": 0.3, "b": 1.0}, ms={"c": 20_000.0, "*": 500.0})
    room.run(7200)
    for alert_id in {alert.id for alert in room.said}:
        own = [alert for alert in room.said if alert.id == alert_id]
        assert [alert.version for alert in own] == list(range(1, len(own) + 1))
        assert [alert.state for alert in own if alert.state != "updated"] == ["raised", "cleared"]
        assert len({(alert.incident, alert.kind, alert.subject.id, alert.started_ms) for alert in own}) == 1
        assert decode_insight(encode_insight(own[-1])) == own[-1]


@pytest.mark.untraced
def test_an_alert_of_which_there_is_nothing_new_is_said_every_hour() -> None:
    """A low one may last for days, and nobody is to read the same of it every few minutes."""
    room = Room()
    said = room.run(172_800, n=500, failing={"a": 0.01}, every_s=300)
    own = [alert for alert in said if (alert.subject.id, alert.kind) == ("a", "error_rate")]
    assert [alert.severity for alert in own] == ["low"] * len(own)
    steps = [(after.at_ms - before.at_ms, before.value / after.value) for before, after in itertools.pairwise(own)]
    assert [step for step in steps if step[0] != 3_600_000] == [step for step in steps if step[0] >= 300_000 and not 2 / 3 < step[1] < 3 / 2]
    assert 8 <= len(own) <= 16


def test_an_alert_whose_figure_moves_by_half_is_said_again() -> None:
    """Within minutes, and once: somebody who reads it should not believe that it is as it was."""
    room = Room()
    room.run(7200)
    known = [alert for alert in room.run(1800, failing={"a": 0.25}) if alert.subject.id == "a"][-1]
    assert [alert for alert in room.run(900, failing={"a": 0.25}) if alert.subject.id == "a"] == []
    said = [alert for alert in room.run(900, failing={"a": 0.75}) if alert.subject.id == "a"]
    assert [(alert.id, alert.state, alert.notify) for alert in said] == [(known.id, "updated", False)] * len(said)
    assert said[0].value >= 1.5 * known.value
    assert said[-1].value >= 0.75 / 1.5
    assert len(said) <= 3


@pytest.mark.untraced
@given(st.data())
@settings(max_examples=15)
def test_a_new_leader_continues_every_alert(data: st.DataObject) -> None:
    """Wherever it takes over: the same ids and versions, nobody woken twice, and the same bytes of state afterwards."""
    scenes = data.draw(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.3, 1.0]), st.sampled_from([*TARGETS, "*"]), st.integers(1, 90)), min_size=1, max_size=4))
    room = Room()
    room.run(1800)
    cut = data.draw(st.integers(0, sum(length for _, _, length in scenes)))
    heir: Room | None = None
    for share, target, length in scenes:
        failing = {name: share for name in TARGETS if target in {name, "*"}}
        for _ in range(length):
            if cut == 0:
                heir = room.successor()
            cut -= 1
            said = room.run(10, failing=failing)
            if heir:
                assert heir.run(10, failing=failing) == said
    if heir:
        assert [pack(state_of(part)) for part in heir.alerts.parts.values()] == [pack(state_of(part)) for part in room.alerts.parts.values()]


@pytest.mark.untraced
def test_the_state_does_not_grow() -> None:
    """Four days with an incident in each leave the arrays as large as the first hour."""

    def sizes() -> list[int]:
        return [value.nbytes for part in room.alerts.parts.values() for value in state_of(part).values() if isinstance(value, np.ndarray)]

    room = Room()
    room.run(3600)
    first = sizes()
    for _ in range(4):
        room.run(3600, failing={"a": 1.0}, every_s=60)
        room.run(82_800, every_s=60)
    assert sizes() == first
    assert state_of(room.alerts)["saved"] == []
    assert state_of(room.alerts)["_woken"] == {}
