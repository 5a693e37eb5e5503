"""Stretches in which a target failed, refused or was slow for longer than chance explains: what happened to it, to be played again.

Each attempt says something of the level its target was at. The levels are those that make all attempts most likely when every change of level costs
`_CHANGE` of ln likelihood (Viterbi 1967): that much evidence, as much as a breaker asks for, tells a spell from bad luck. A spell begins half-way
between the last attempt before it and its first one, so the times are as exact as the target was asked often.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

Kind = Literal["failing", "refusing", "slow"]

_CHANGE: Final = 12.0
_RATIOS: Final = np.array([0.01, 0.1, 0.3, 0.6, 0.98])
"""Shares of attempts that fail, the usual first."""
_FACTORS: Final = np.array([1.0, 0.5, 1.6, 2.5, 4.0, 6.5, 10.0])
"""By how much answers take longer, the usual first."""
_LEAST: Final = {"failing": 4, "refusing": 4, "slow": 12}
_LEAST_SIGMA: Final = 0.3
_FAR: Final = 3.0
_TOLD_MS: Final = 2_000.0
"""A refusal that names less is that of a limit, not of a spell."""
OUTAGE: Final = 0.5
"""Share of failures from which on a spell is an outage."""


class Spell(NamedTuple):
    """A stretch of one target's time; plain figures of the attempts in it."""

    kind: Kind
    from_ms: float
    until_ms: float
    level: float
    """Share of the attempts that failed or were refused, or by how much answers took longer."""
    n: int
    """Attempts behind it."""

    @property
    def outage(self) -> bool:
        """Whether most of what was asked failed."""
        return self.kind == "failing" and self.level >= OUTAGE


def bad_spells(kind: Kind, at_ms: Floats, bad: Bools) -> list[Spell]:
    """Where attempts at these times, in order, went wrong more often than usual."""
    hits = bad[:, None]
    found = _levels(np.where(hits, np.log(_RATIOS), np.log1p(-_RATIOS)))
    return list(_spells(kind, at_ms, found, lambda part: float(bad[part].mean())))


def told_spells(at_ms: Floats, refused: Bools, retry_after_ms: Floats) -> list[Spell]:
    """Where refusals said that more would follow: each from the refusal until the time that it named, those that overlap together.

    Whoever heeds a refusal asks no more, so that a storm of them may leave only a few behind.
    """
    said = np.flatnonzero(refused & (retry_after_ms >= _TOLD_MS))
    found: list[Spell] = []
    for from_ms, until_ms in zip(at_ms[said].tolist(), (at_ms[said] + retry_after_ms[said]).tolist(), strict=True):
        if found and from_ms <= found[-1].until_ms:
            found[-1] = found[-1]._replace(until_ms=max(found[-1].until_ms, until_ms))
        else:
            found.append(Spell("refusing", from_ms, until_ms, 1.0, 0))
    return [_measured(spell, at_ms, refused) for spell in found]


def _measured(spell: Spell, at_ms: Floats, refused: Bools) -> Spell:
    among = refused[(at_ms >= spell.from_ms) & (at_ms < spell.until_ms)]
    return spell._replace(level=float(among.sum() + 1) / (len(among) + 1), n=len(among))


def slow_spells(at_ms: Floats, ratio: Floats) -> list[Spell]:
    """Where answers took longer or less long than usual; `ratio` is time alone ÷ expected time alone of each, > 0."""
    if not len(ratio):
        return []
    ln = np.log(np.maximum(ratio, 1e-9))
    ln -= np.median(ln)
    sigma = max(_LEAST_SIGMA, 1.4826 * float(np.median(np.abs(ln))))
    z = np.clip((ln[:, None] - np.log(_FACTORS)) / sigma, -_FAR, _FAR)
    found = _levels(-0.5 * z * z)
    return list(_spells("slow", at_ms, found, lambda part: math.exp(float(np.median(ln[part])))))


def _levels(ln_likelihood: Floats) -> Ints:
    """The most likely level of each attempt."""
    n, k = ln_likelihood.shape
    best, came = np.where(np.arange(k) > 0, -_CHANGE, 0.0), np.zeros((n, k), np.int8)
    stay = np.arange(k, dtype=np.int8)
    for i, row in enumerate(ln_likelihood):
        top = int(best.argmax())
        changed = best < best[top] - _CHANGE
        came[i] = np.where(changed, top, stay)
        best = np.where(changed, best[top] - _CHANGE, best) + row
    found, level = np.zeros(n, np.int64), int(best.argmax()) if n else 0
    for i in range(n - 1, -1, -1):
        found[i] = level
        level = int(came[i, level])
    return found


def _spells(kind: Kind, at_ms: Floats, levels: Ints, of: Callable[[slice], float]) -> Iterator[Spell]:
    edges = [0, *(np.flatnonzero(np.diff(levels)) + 1).tolist(), len(levels)]
    for first, end in pairwise(edges):
        if end - first < _LEAST[kind] or levels[first] == 0:
            continue
        from_ms = (at_ms[first - 1] + at_ms[first]) / 2 if first else at_ms[0]
        until_ms = (at_ms[end - 1] + at_ms[end]) / 2 if end < len(at_ms) else math.inf
        yield Spell(kind, float(from_ms), float(until_ms), of(slice(first, end)), end - first)


def inside(at_ms: Floats, spells: list[Spell]) -> Bools:
    """Which of these times lie in one of the spells."""
    found = np.zeros(len(at_ms), np.bool_)
    for spell in spells:
        found |= (at_ms >= spell.from_ms) & (at_ms < spell.until_ms)
    return found
