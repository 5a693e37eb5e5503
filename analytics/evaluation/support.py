"""How far a log carries an estimate for a policy, and when it does not: then there is no number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from routecast.analytics.evaluation.estimators import Terms, weights
from routecast.analytics.evaluation.logged import Floats, Logged
from routecast.analytics.evaluation.uncertainty import by_influence
from routecast.models.evaluation import Support

_LEVEL = 0.9999
"""Of the interval in which the mean weight must leave 1 possible: one false refusal in ten thousand."""


class Bounds(NamedTuple):
    """What an estimate must have."""

    effective: float = 500.0
    """Least effective sample size."""
    thin_rows: int = 30
    """Logged requests of a target below which it counts as thin."""
    unsupported: float = 0.01
    """Largest share of the policy's choices at targets that were never chosen."""
    thin: float = 0.1
    """The same at thin ones."""
    clipped: float = 0.05
    """Largest share that clipping may take away."""
    unknown: float = 0.05
    """Largest share of decisions whose outcome is not known: those are not like the others."""
    mean_weight: float = 0.05
    """How far from 1 the mean weight may be beyond its interval."""


BOUNDS = Bounds()
"""Those of the documentation."""


def effective_size(w: Floats) -> float:
    """(Σw)² ÷ Σw²: so many requests of the policy's own would tell as much (Kish 1965). 0 without weight."""
    squares = float(w @ w)
    return float(w.sum()) ** 2 / squares if squares > 0 else 0.0


def support(logged: Logged, policy: Floats, clip: float, bounds: Bounds = BOUNDS) -> Support:
    """What the log holds of what the policy would choose; `logged` must have rows."""
    w = weights(logged, policy)
    counts = np.bincount(logged.chosen, minlength=len(logged.targets))
    wanted = policy.mean(axis=0)
    thin = [i for i in np.argsort(-wanted, kind="stable").tolist() if wanted[i] > 0 and counts[i] < bounds.thin_rows]
    return Support(
        rows=len(logged),
        effective=effective_size(w),
        mean_weight=by_influence(Terms(w, np.ones(len(w))), logged.blocks, _LEVEL),
        largest_weight=float(w.max()),
        clipped_ratio=float(np.maximum(0.0, w - clip).mean()),
        unsupported_ratio=float(wanted[counts == 0].sum()),
        thin_ratio=float(wanted[thin].sum()),
        thin=tuple(logged.targets[i] for i in thin),
        unknown_ratio=logged.unknown / (logged.unknown + len(logged)),
    )


def refusal(found: Support, bounds: Bounds = BOUNDS) -> str:
    """Why the log cannot carry an estimate, and what would help; empty where it can."""
    return next(_reasons(found, bounds), "")


def _reasons(found: Support, bounds: Bounds) -> Iterator[str]:
    thin = ", ".join(found.thin[:5])
    if found.unsupported_ratio > bounds.unsupported:
        yield (
            f"{found.unsupported_ratio:.1%} of the policy's choices go to targets that were never chosen ({thin}): nothing is known of them here; "
            "record longer, or compare by simulation"
        )
    if found.thin_ratio > bounds.thin:
        yield f"{found.thin_ratio:.1%} of the policy's choices go to targets with fewer than {bounds.thin_rows} requests ({thin}): record longer"
    if found.effective < bounds.effective:
        yield (
            f"the {found.rows} logged decisions tell as much as {found.effective:.0f} of the policy's own, fewer than {bounds.effective:.0f}: "
            "record longer, or try a policy nearer to the one that was logged"
        )
    if found.clipped_ratio > bounds.clipped:
        yield (
            f"{found.clipped_ratio:.1%} of the policy's choices are so rare in the log that their weights had to be cut: "
            "try a policy nearer to the one that was logged"
        )
    if not found.mean_weight.low - bounds.mean_weight <= 1.0 <= found.mean_weight.high + bounds.mean_weight:
        yield (
            f"the weights average {found.mean_weight.value:.3g} and should average 1: the propensities are not those of the draws, "
            "or the policy chooses what was never drawn in its situation; compare by simulation"
        )
    if found.unknown_ratio > bounds.unknown:
        yield f"of {found.unknown_ratio:.1%} of the decisions nobody knows how they ended, and those are not like the others: record until they have ended"
