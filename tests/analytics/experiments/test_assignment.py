from __future__ import annotations

import math
from collections import Counter
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routecast.analytics.experiments.assignment import Assignment, block_at, washing_out
from routecast.models.experiments import Arm, Experiment

DAY_MS = 86_400_000.0


def experiment(*shares: float, salt: str = "0123abcd", **more: Any) -> Experiment:
    """Arms with these shares."""
    arms = tuple(Arm(name=f"arm-{i}", share=share) for i, share in enumerate(shares))
    return Experiment(name="x", salt=salt, service="chat", arms=arms, starts_ms=0.0, ends_ms=DAY_MS, **more)


def chi_square(counts: list[int], shares: list[float]) -> float:
    """Pearson's."""
    n = sum(counts)
    return sum((count - n * share) ** 2 / (n * share) for count, share in zip(counts, shares, strict=True))


@given(st.text(max_size=50))
def test_an_assignment_can_be_computed_by_anybody(unit: str) -> None:
    """Sixty-four bits of BLAKE2b of name, salt and id, against the shares."""
    number = int.from_bytes(blake2b(b"x.0123abcd" + unit.encode(errors="replace"), digest_size=8).digest(), "big") / 2**64
    expected = 0 if number < 0.2 else 1 if number < 0.7 else 2
    assert Assignment(experiment(0.2, 0.5, 0.3)).arm_of(unit.encode(errors="replace").decode()) == expected


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([[0.5, 0.5], [0.9, 0.1], [0.2, 0.3, 0.5]]))
def test_shares_are_kept_whatever_the_salt(salt: int, shares: list[float]) -> None:
    """Numbered ids, as emitters give them, are spread as by chance: χ² far from its tail of one in a million."""
    assignment = Assignment(experiment(*shares, salt=f"{salt:08x}"))
    counts = Counter(assignment.arm_of(f"host-1-abc-{i}") for i in range(5_000))
    assert chi_square([counts[i] for i in range(len(shares))], shares) < 28.0


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 2))
def test_experiments_are_independent(salt: int) -> None:
    """Two salts, even neighbours, split each other's arms in halves."""
    one, other = (Assignment(experiment(0.5, 0.5, salt=f"{number:08x}")) for number in (salt, salt + 1))
    pairs = Counter((one.arm_of(f"r-{i}"), other.arm_of(f"r-{i}")) for i in range(4_000))
    assert chi_square([pairs[a, b] for a in range(2) for b in range(2)], [0.25] * 4) < 31.0


@given(st.integers(0, 10_000))
def test_the_first_arms_get_everything_where_the_last_has_next_to_nothing(i: int) -> None:
    """Shares that add up to 1 only nearly leave no unit without an arm."""
    assert Assignment(experiment(1.0 - 1e-12, 1e-12)).arm_of(f"r-{i}") == 0


def test_blocks_begin_with_the_experiment() -> None:
    """Numbers rise by one a block; the washout is their beginning."""
    blocks = experiment(0.5, 0.5, unit="block", block_ms=60_000.0, washout_ms=5_000.0)
    assert [block_at(blocks, at_ms) for at_ms in (-1.0, 0.0, 59_999.0, 60_000.0)] == [-1, 0, 0, 1]
    assert [washing_out(blocks, at_ms) for at_ms in (0.0, 4_999.0, 5_000.0, 59_999.0, 60_000.0)] == [True, True, False, False, True]
    arms = Counter(Assignment(blocks).arm_of_block(block) for block in range(1_000))
    assert arms[0] == pytest.approx(500, abs=5 * math.sqrt(250))
