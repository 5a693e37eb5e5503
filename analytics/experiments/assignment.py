"""Which arm a unit belongs to: a function of the experiment's salt and the unit's id, the same in every router and for whoever checks it.

The 64 bits of BLAKE2b of salt and id are as good as drawn: uniform, and independent from experiment to experiment.
"""

from __future__ import annotations

from bisect import bisect_right
from hashlib import blake2b
from itertools import accumulate

from routecast.models.experiments import Experiment

_LAST = b"\xff" * 8


class Assignment:
    """Of the units of one experiment. Well under a microsecond each."""

    __slots__ = ("_ends", "_salted")

    def __init__(self, experiment: Experiment) -> None:
        self._salted = blake2b(experiment.id.encode(), digest_size=8)
        ends = [*accumulate(arm.share for arm in experiment.arms)][:-1]
        self._ends = [round(end * 2**64).to_bytes(9, "big")[1:] if end < 1 else _LAST for end in ends]
        """Where in the hashes the arms end, but the last: bytes compare as the numbers they stand for."""

    def arm_of(self, unit: str) -> int:
        """Number of the arm of a request or a session."""
        hashed = self._salted.copy()
        hashed.update(unit.encode())
        return bisect_right(self._ends, hashed.digest())

    def arm_of_block(self, block: int) -> int:
        """Number of the arm of a block of time."""
        return self.arm_of(f"block/{block}")


def block_at(experiment: Experiment, at_ms: float) -> int:
    """Number of the block of this time (epoch ms), from 0 at the start; negative before it."""
    return int((at_ms - experiment.starts_ms) // experiment.block_ms)


def washing_out(experiment: Experiment, at_ms: float) -> bool:
    """Whether requests of the block before may still be under way, so that nothing counts."""
    return (at_ms - experiment.starts_ms) % experiment.block_ms < experiment.washout_ms
