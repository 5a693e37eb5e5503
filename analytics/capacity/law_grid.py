"""The laws that a fit looks at, and how likely each is before anything was seen.

More calls at once never get less done together: slope ≤ 1/knee. `sharpness` = knee × slope tells how a target comes to its roof of 1/slope calls' worth
of work: 1 at once, as a roofline does (S. Williams et al., 2009); 0 little by little from the second call on. What a target can do at most is as likely
to be anywhere, in the logarithm, up to `BEYOND` times the most that was open at once, by each of four kinds: a bound alone, a roof alone, one that
is come to gradually, both.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Pairs = tuple[Floats, Floats]
"""Knees and slopes, pair by pair."""

BEYOND: Final = 8.0
"""Bounds of up to so many times the most that was open at once are thought of."""
KINDS: Final = 3
_ROOF, _GRADUAL = 1, 2
_SHARPNESS = (1.0, 0.75, 0.5, 0.25, 0.0)
_SOFTEST = 20.0
"""A roof of more times what was seen slows nothing down that could be measured."""
_UNSEEN, _UNSEEN_SLOWING = 24, 16
"""Bounds beyond what was seen that are told apart: of targets that were not seen to slow down, of those that were."""
_WIDTH = 0.05
"""Laws whose logarithms of what they can do at most differ by less are alike."""


def roofs(low: float, high: float, n: int) -> Floats:
    """`n` roofs from one to another, even in the logarithm."""
    return np.geomspace(max(1.0, low), max(1.0, low, high), n)


def highest_roof(seen: float) -> float:
    """The highest roof that is looked at where so many calls were open at once."""
    return _SOFTEST * seen


def pairs(heights: Floats, most: float) -> Pairs:
    """No slope, and these roofs at every sharpness, as far as up to `most` calls show them."""
    sharpness, height = (column.ravel() for column in np.meshgrid(_SHARPNESS, heights, indexing="ij"))
    knees = np.maximum(1.0, sharpness * height)
    kept = knees < most
    return np.append(1.0, knees[kept]), np.append(0.0, 1.0 / height[kept])


def kinds(laws: Floats) -> Ints:
    """Of each law its kind: 0 a bound, 1 a roof, 2 gradual."""
    _, knees, slopes = laws.T
    return np.where(slopes > 0, np.where(knees * slopes > 1.0 - 1e-9, _ROOF, _GRADUAL), 0)


def beyond(laws: Floats, seen: float) -> tuple[Floats, Ints]:
    """Laws that differ from these in what nobody saw alone, and of which of these each is one: bounds and roofs above what was open at once."""
    parts, of = [laws], [np.arange(len(laws))]
    unbounded = np.flatnonzero(np.isinf(laws[:, 0]))
    flat, slowing = unbounded[laws[unbounded, 2] == 0], unbounded[laws[unbounded, 2] > 0]
    for height in np.geomspace(seen, BEYOND * seen, _UNSEEN).tolist():
        for known, law in ((flat, (math.ceil(height), 1.0, 0.0)), (flat, (math.inf, height, 1.0 / height))):
            parts.append(np.tile(law, (len(known), 1)))
            of.append(known)
    for slots in np.geomspace(seen, BEYOND * seen, _UNSEEN_SLOWING).tolist():
        parts.append(np.column_stack([np.full(len(slowing), math.ceil(slots)), laws[slowing, 1:]]))
        of.append(slowing)
    return np.concatenate(parts), np.concatenate(of)


def ln_prior(laws: Floats) -> Floats:
    """How likely each is, as a logarithm up to a constant: within a kind even in the logarithm of what a target can do at most, whatever the grid."""
    place, kind = np.round(ln_most(laws) / _WIDTH).astype(np.int64), kinds(laws)
    prior = np.zeros(len(laws))
    for each in range(KINDS):
        mine = np.flatnonzero(kind == each)
        steps, step_of, laws_of = np.unique(place[mine], return_inverse=True, return_counts=True)
        widths = np.gradient(steps * _WIDTH) if len(steps) > 1 else np.full(len(steps), _WIDTH)
        prior[mine] = widths[step_of] / laws_of[step_of]
    return np.log(prior)


def ln_most(laws: Floats) -> Floats:
    """Logarithm of what a target can do at most under each law, in calls' worth of work; none is without bound."""
    slots, knees, slopes = laws.T
    held = np.isfinite(slots)
    full = np.where(held, slots, 1.0)
    at_most: Floats = np.log(np.where(held, full / (1.0 + slopes * np.maximum(0.0, full - knees)), 1.0 / np.where(held, 1.0, slopes)))
    return at_most


def ln_full(laws: Floats) -> Floats:
    """Logarithm of the calls beyond which no more gets done under each law; infinite where more always do a little more."""
    slots, knees, _ = laws.T
    full: Floats = np.log(np.where(kinds(laws) == _ROOF, np.minimum(slots, knees), slots))
    return full
