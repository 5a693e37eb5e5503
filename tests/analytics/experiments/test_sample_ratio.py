from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.experiments.sample_ratio import LEAST_P, evidence


@given(st.lists(st.booleans(), max_size=60), st.floats(0.1, 0.9))
def test_evidence_is_the_ratio_of_two_probabilities_of_the_sequence(arms: list[bool], share: float) -> None:
    """Predicted one by one: by shares that are learnt from a hundred imagined requests, and by the shares that should be."""
    counts, total = [0, 0], 0.0
    for arm in map(int, arms):
        shares = (1.0 - share, share)
        total += math.log((100.0 * shares[arm] + counts[arm]) / (100.0 + sum(counts)) / shares[arm])
        counts[arm] += 1
    assert evidence(counts, (1.0 - share, share)) == pytest.approx(total, abs=1e-9)


def test_a_tenth_that_is_missing_is_found() -> None:
    """Ten thousand requests of which one arm lost a tenth; not ten thousand as chance has them."""
    assert math.exp(-evidence((5_000, 4_500), (0.5, 0.5))) < LEAST_P
    assert math.exp(-evidence((5_060, 4_940), (0.5, 0.5))) > 0.5
