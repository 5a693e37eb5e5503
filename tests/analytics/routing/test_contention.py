from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.routing.contention import Contention, OwnRate, Target, load_term, utilisation_behind

TARGET = Target(in_flight=9.0, in_flight_mean=6.0, capacity=10.0, service_s=2.0)


def _by_the_book(target: Target, age_s: float, share: float, own: int, at_publish: int, *, fresh: bool = True) -> float:
    """U as the algorithm's text has it."""
    delta = math.exp(-age_s / target.service_s) if fresh else 0.0
    replicas = min(64.0, 1.0 / share)
    n = target.in_flight_mean + (target.in_flight - target.in_flight_mean) * delta
    n += 0.6 * replicas * (own - (share * target.in_flight_mean + (at_publish - share * target.in_flight_mean) * delta))
    return max(1 / target.capacity, (n + 1) / target.capacity)


@given(age_s=st.floats(0, 1.9), share=st.floats(0.001, 1), own=st.integers(0, 20), at_publish=st.integers(0, 20))
def test_utilisation_is_that_of_the_text(age_s: float, share: float, own: int, at_publish: int) -> None:
    """Snapshot aged with the service time, own changes standing for those of the others."""
    contention = Contention(1, 1.0)
    contention.own[0] = own
    contention.take(1000.0, 1000.0, [TARGET], [at_publish])
    contention.refresh(1000.0 + age_s * 1000, share)
    assert contention.utilisation(0) == pytest.approx(_by_the_book(TARGET, age_s, share, own, at_publish))


def test_starts_and_ends_move_the_term_as_a_refresh_would() -> None:
    """The incremental update loses nothing."""
    one, other = Contention(1, 1.0), Contention(1, 1.0)
    for contention in (one, other):
        contention.take(0.0, 1000.0, [TARGET], [2])
        contention.refresh(500.0, 0.25)
    for _ in range(7):
        one.started(0)
    one.finished(0)
    other.own[0] = 6
    other.refresh(500.0, 0.25)
    assert one.terms == pytest.approx(other.terms)


@pytest.mark.parametrize(("periods", "fresh"), [(1.9, True), (2.1, False), (9.0, False)])
def test_an_old_snapshot_counts_by_its_averages(periods: float, fresh: bool) -> None:
    """Beyond two periods the momentary in-flight is forgotten."""
    contention = Contention(1, 1.0)
    contention.own[0] = 3
    contention.take(0.0, 1000.0, [TARGET], [1])
    contention.refresh(periods * 1000, 0.5)
    assert contention.utilisation(0) == pytest.approx(_by_the_book(TARGET, periods, 0.5, 3, 1, fresh=fresh))


def test_beyond_ten_periods_the_router_is_alone() -> None:
    """Only own measurements count; a router that never had a snapshot is not alone but at its configuration."""
    contention = Contention(1, 1.0)
    contention.take(0.0, 1000.0, [TARGET], [0])
    assert [contention.alone(at_ms) for at_ms in (2_000, 10_000, 10_001)] == [False, False, True]
    contention.take(0.0, math.inf, [TARGET], [0])
    assert not contention.alone(1e12)


@given(u=st.floats(0.5, 50))
def test_the_load_term_can_be_read_backwards(u: float) -> None:
    """So that an explanation can say how long a request waits."""
    assert utilisation_behind(load_term(u)) == pytest.approx(u)


@given(low=st.floats(0, 5), more=st.floats(0, 5))
def test_the_load_term_never_falls(low: float, more: float) -> None:
    """More load never makes a target cheaper."""
    assert load_term(low + more) >= load_term(low) >= 0.5


def test_a_power_of_zero_switches_load_off() -> None:
    """The weight of the factor current_load acts as an exponent."""
    contention = Contention(1, 0.0)
    contention.take(0.0, 1000.0, [TARGET], [0])
    contention.refresh(0.0, 1.0)
    assert contention.terms == [1.0]


def test_own_rate_is_unbiased_from_the_first_second() -> None:
    """Five requests in the first second are five a second, not a tenth of it."""
    rate = OwnRate()
    assert rate.share(100.0, 16) == pytest.approx(1 / 16)
    rate.pending = 5
    rate.refresh(1.0)
    assert rate.share(100.0, 16) == pytest.approx(0.05)
    assert rate.share(1.0, 16) == 1.0
