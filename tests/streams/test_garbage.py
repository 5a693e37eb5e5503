from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator
from weakref import ref

import pytest

from routecast.streams.clock import FixedClock
from routecast.streams.garbage import Garbage


class Ring:
    """Refers to itself, so that counting references never frees it."""

    alive = 0

    def __init__(self) -> None:
        self.itself = self
        Ring.alive += 1

    def __del__(self) -> None:
        Ring.alive -= 1


@pytest.fixture
def garbage() -> Iterator[Garbage]:
    """Of this process, whose own policy is restored afterwards."""
    usual = gc.get_threshold()
    made = Garbage(FixedClock(0.0))
    made.settle()
    yield made
    gc.set_threshold(*usual)
    gc.unfreeze()
    gc.collect()


@pytest.fixture
def full() -> Iterator[list[str]]:
    """The full collections that happen meanwhile."""
    found: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if info["generation"] == 2 and phase == "start":
            found.append(phase)

    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)


def test_rings_that_have_lived_for_long_are_found_at_quiet_moments(garbage: Garbage) -> None:
    """However many come and go, those that are dead are never more than a bounded number."""
    kept, most = deque[Ring](maxlen=20_000), 0
    for number in range(400_000):
        kept.append(Ring())
        if number % 5_000 == 0:
            garbage.quiet()
            most = max(most, Ring.alive - len(kept))
    assert most < 130_000


def test_no_full_collection_comes_at_another_moment(garbage: Garbage, full: list[str]) -> None:
    """As many new objects as a leader of a thousand targets makes in seconds do not start one; the next quiet moment does, once."""
    kept = [[number] for number in range(300_000)]
    assert not full
    garbage.quiet()
    garbage.quiet()
    assert len(full) == 1
    assert len(kept) == 300_000


def test_what_was_frozen_and_died_is_found_when_the_worker_becomes_ready_again(garbage: Garbage) -> None:
    """Until then no collection sees it."""
    ring = Ring()
    seen = ref(ring)
    garbage.settle()
    del ring
    gc.collect()
    assert seen() is not None
    garbage.settle()
    assert seen() is None
