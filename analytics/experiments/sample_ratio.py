"""Whether the arms got the shares that they were to get, tested after every request.

A ratio that is off shows that requests are lost, or counted, in one arm and not in the other: then no comparison is to be believed. The
statistic is the Bayes factor of a Dirichlet distribution around the shares against the shares themselves. It exceeds 1/p at any time with
probability ≤ p while the shares are kept, so that 1 ÷ its largest value is a p-value however often somebody looks.

Source: M. Lindon, A. Malek, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST_P = 0.001
"""Below it the ratio is off."""
_CONCENTRATION = 100.0
"""Of the alternative: ratios about a tenth off are what it expects."""


def evidence(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Logarithm of the Bayes factor against these shares, > 0 each, together 1; 0 without counts.

    >>> round(math.exp(-evidence([5_050, 4_950], [0.5, 0.5])), 2)
    1.05
    """
    total = math.lgamma(_CONCENTRATION) - math.lgamma(_CONCENTRATION + sum(counts))
    for count, share in zip(counts, shares, strict=True):
        prior = _CONCENTRATION * share
        total += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return total
