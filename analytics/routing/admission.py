"""Whether one more request finds room among targets that many routers share, none of which sees what the others do right now.

A snapshot tells what was in flight everywhere when it was made. Of what then was free, or too much, each router takes its share: with
n in flight, room for L, and its own part o of n, it may have o + a·(L − n) open until the next snapshot. Summed over all routers that is L,
whatever each of them had; so they fill the targets without flooding them. Fractions are rounded at random, or small routers would never
have a turn.
"""

from __future__ import annotations

from typing import NamedTuple

from routecast.models.config import Overflow, TargetConfig
from routecast.models.snapshot import TargetScore

_LEAST_N = 100.0
"""Requests behind a fitted capacity before it may keep anybody waiting."""
_GOLDEN = 0.618033988749895


class Level(NamedTuple):
    """How full the usable targets are, all together."""

    limit: float
    """[L] Requests it may have in flight."""
    in_flight: float
    """[n] Requests in flight when the snapshot was made."""
    own: float
    """This router's requests in flight now."""
    own_then: float
    """[o] The same when the snapshot was made."""


def limit_of(target: TargetConfig, entry: TargetScore, overflow: Overflow) -> float | None:
    """Requests a target may have in flight before it is full; None where nobody knows.

    A fitted capacity is only the most that was seen where a target has no queue, so it counts with a larger factor, and with evidence.
    """
    if target.capacity is not None:
        return overflow.limit * target.capacity
    return overflow.fitted_limit * entry.capacity if entry.n >= _LEAST_N else None


def has_room(service: Level, share: float, luck: float) -> bool:
    """Whether a router with this share of the traffic, in (0, 1], may start one more; `luck` in [0, 1) rounds, anew for each snapshot."""
    quota = service.own_then + share * (service.limit - service.in_flight)
    return service.own + 1.0 <= quota + luck * (1.0 - share)


def is_calm(service: Level, limit: float) -> bool:
    """Whether the service is not even busy: in flight, with what this router did since, below its capacity (its room ÷ `limit`)."""
    return service.in_flight + service.own - service.own_then + 1.0 <= service.limit / limit


def luck_of(phase: float, number: int) -> float:
    """The rounding of one router at its snapshot of this number: spread evenly over time, in [0, 1)."""
    return (phase + number * _GOLDEN) % 1.0
