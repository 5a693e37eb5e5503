from __future__ import annotations

import numpy as np
import pytest

from routecast.analytics.fleet.health import Health
from routecast.analytics.fleet.horizon import Evidence, Horizon


class _Target:
    """One target's health, fed tick by tick."""

    def __init__(self, threshold: float = 0.8, longest_open_ms: float = 30_000.0) -> None:
        self.health = Health(threshold, longest_open_ms, 0.995)
        self.health.grow(1)
        self.minute = Horizon(1, tau_s=60.0)
        self.now_ms = 0.0
        self.probed = 0

    def tick(self, ok: int = 0, failed: int = 0, limited: int = 0, seconds: float = 1.0) -> str:
        """State after new outcomes; `failed` are those that a breaker counts, `limited` come beside them."""
        self.now_ms += seconds * 1000
        counts = {"ok": ok, "failed": failed + limited, "limited": limited}
        news = Evidence(**{name: np.array([float(counts.get(name, 0))]) for name in Evidence._fields})
        self.minute.update(seconds, news)
        probed = self.health.update(self.now_ms, news, self.minute, np.zeros(1))
        self.probed += len(probed)
        self.minute.forget(probed)
        return self.health.states[0]

    def ramp(self, later_ms: float = 0.0) -> float:
        return float(self.health.ramp(self.now_ms + later_ms)[0])


def test_a_target_is_unknown_until_it_was_used() -> None:
    """Then it is ok, and stays so while nothing comes."""
    target = _Target()
    assert [target.tick(), target.tick(3), target.tick()] == ["unknown", "ok", "ok"]


def test_an_outage_opens_probes_and_closes_with_a_ramp() -> None:
    """Open 5 s, a tenth of the share while it is probed, seven clean successes, then a ramp of 30 s."""
    target = _Target()
    for _ in range(30):
        target.tick(10)
    assert target.ramp() == 1.0
    assert target.tick(0, 5) == "open"
    assert [target.tick() for _ in range(5)] == ["open"] * 4 + ["recovering"]
    assert (target.probed, target.ramp(), target.ramp(60_000)) == pytest.approx((1, 0.1, 0.1))
    assert [target.tick(6), target.tick(1)] == ["recovering", "ok"]
    assert [target.ramp(ms) for ms in (0, 15_000, 30_000, 90_000)] == pytest.approx([0.1, 0.55, 1.0, 1.0])


def test_estimates_restart_once_when_probing_begins() -> None:
    """Not while the target is open, when late failures still come, and not again while it is probed."""
    target = _Target()
    target.tick(10)
    target.tick(0, 5)
    probed: list[int] = []
    for _ in range(7):
        target.tick(0, 1 if not probed or probed[-1] == 0 else 0)
        probed.append(target.probed)
    assert probed == [0, 0, 0, 0, 1, 1, 1]
    assert target.minute.n[0] == 0


def test_outcomes_of_before_do_not_close_an_open_target() -> None:
    """Only probes do."""
    target = _Target()
    target.tick(0, 5)
    assert [target.tick(50) for _ in range(4)] == ["open"] * 4
    assert [target.tick(50), target.tick()] == ["recovering", "recovering"]


def test_one_failure_among_the_probes_asks_for_five_more_successes() -> None:
    """Sequential probability ratio: seven clean ones, or twelve with one failure; two failures reopen."""
    for ok_after_failure, state in ((11, "recovering"), (12, "ok")):
        target = _Target()
        target.tick(0, 5)
        for _ in range(5):
            target.tick()
        target.tick(0, 1)
        assert target.tick(ok_after_failure) == state
    target = _Target()
    target.tick(0, 5)
    for _ in range(5):
        target.tick()
    assert [target.tick(0, 1), target.tick(0, 1)] == ["recovering", "open"]


def _waits(target: _Target, times: int) -> list[int]:
    """Seconds for which a target that never recovers stays open, each time."""
    for _ in range(10):
        target.tick(10)
    target.tick(0, 20)
    waits: list[int] = []
    for _ in range(times):
        waited = 1
        while target.tick() == "open":
            waited += 1
        waits.append(waited)
        assert target.tick(0, 3) == "open"
    return waits


@pytest.mark.parametrize(("longest_s", "waits"), [(30, [5, 10, 20, 30, 30]), (12, [5, 10, 12, 12, 12]), (2, [2, 2, 2])])
def test_each_failed_probe_doubles_the_wait_up_to_the_longest(longest_s: int, waits: list[int]) -> None:
    """From 5 s; never longer than is configured."""
    assert _waits(_Target(longest_open_ms=longest_s * 1000.0), len(waits)) == waits


def test_a_recovery_resets_the_wait() -> None:
    """The next outage begins with 5 s again."""
    target = _Target()
    _waits(target, 3)
    while target.tick() == "open":
        pass
    assert target.tick(20) == "ok"
    assert _waits(target, 1) == [5]


def test_a_dead_target_opens_for_ever_without_overflow() -> None:
    """Doubling ends."""
    assert _waits(_Target(), 60)[-1] == 30


def test_rate_limits_do_not_open_a_target() -> None:
    """A storm of 429 says that the target lives: it is degraded, the cost of trying is in its success ratio."""
    target = _Target()
    for _ in range(10):
        target.tick(10)
    assert {target.tick(1, 0, 50) for _ in range(20)} == {"degraded"}
    assert target.tick(0, 5) == "open"


def test_rate_limits_do_not_speak_against_a_recovery() -> None:
    """Nor for it."""
    target = _Target()
    target.tick(0, 5)
    for _ in range(5):
        target.tick()
    assert [target.tick(0, 0, 50), target.tick(7)] == ["recovering", "ok"]


def _ever_opens(threshold: float, ok: int, failed: int) -> bool:
    target = _Target(threshold)
    return any(target.tick(ok, failed) == "open" for _ in range(60))


def test_the_failover_threshold_opens_what_the_breaker_bears() -> None:
    """Five per cent of failures never trip the breaker; above a threshold of 97 % they open the target, below one of 80 % they do not."""
    assert [_ever_opens(threshold, 19, 1) for threshold in (0.8, 0.97)] == [False, True]


def test_the_failover_threshold_wants_evidence() -> None:
    """One failure of the first three proves nothing; three quarters failing do."""
    assert [_Target().tick(ok, failed) for ok, failed in ((2, 1), (0, 2), (1, 3))] == ["ok", "ok", "open"]


def test_a_few_failures_only_degrade() -> None:
    """Below the objective, above the threshold; it passes."""
    target = _Target()
    assert {target.tick(49, 1) for _ in range(60)} == {"ok", "degraded"}
    assert target.tick() == "degraded"
    for _ in range(600):
        target.tick(50)
    assert target.tick(50) == "ok"


def test_targets_have_states_of_their_own() -> None:
    """An outage of one is none of the other."""
    health = Health(0.8, 30_000.0, 0.995)
    health.grow(1)
    health.grow(3)
    minute = Horizon(3, tau_s=60.0)
    zero = np.zeros(3)
    news = Evidence(np.array([0.0, 9.0, 0.0]), np.array([9.0, 0.0, 0.0]), *(zero for _ in Evidence._fields[2:]))
    minute.update(1.0, news)
    health.update(1000.0, news, minute, zero)
    assert health.states == ["open", "ok", "unknown"]
