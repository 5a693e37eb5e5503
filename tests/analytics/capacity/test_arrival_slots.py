from __future__ import annotations

from routecast.analytics.capacity.arrival_slots import ArrivalSlots
from routecast.models.rows import KEPT_MS


def test_arrivals_are_summed_by_half_second_and_told_when_they_are_complete() -> None:
    """Those of the last two seconds are not; nor is what is older than ten minutes told."""
    slots = ArrivalSlots()
    slots.add(10_000.0, [(5000, 2), (5500, 1), (9500, 4)])
    slots.add(10_500.0, [(5000, 3), (6000, 0)])
    assert slots.until(10_500.0) == [(5000, 5), (5500, 1)]
    assert slots.until(12_000.0) == [(5000, 5), (5500, 1), (9500, 4)]
    assert slots.until(5200.0 + KEPT_MS) == [(5500, 1), (9500, 4)]


def test_a_day_takes_no_more_room_than_ten_minutes() -> None:
    """Old half-seconds go."""
    slots = ArrivalSlots()
    for slot_ms in range(0, 86_400_000, 500):
        slots.add(slot_ms + 600.0, [(slot_ms, 1)])
    assert len(slots.until(86_400_000.0)) <= KEPT_MS // 500
    assert len(slots._arrived) <= 2 * KEPT_MS // 500
