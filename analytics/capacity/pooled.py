"""What the targets of a service say about each other: how they slow down, and how much one of them does at once.

A target that routing rarely fills shows neither. Empirical Bayes (B. Efron, C. Morris, 1973): of each target, the others say how likely the kinds of
laws are, and around which bound, in the logarithm normal, theirs lie. Where nothing of a bound was seen, all bounds from there on explain its calls
alike: one a little above is taken then, for routing fills a target by what it has learnt that it can take. What the others say counts for as much as
many of them showed a bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.capacity.service_law import BEYOND, KINDS, QUEUE, SHARED, Law, TargetFit, kinds, most_of
from routecast.analytics.capacity.target_fit import within

Floats = NDArray[np.float64]

_ROUNDS = 6
_SPAN = math.log(600.0)
"""Bounds that are thought possible, in the logarithm, where nothing is known."""
_SPREAD, _SPREAD_N = math.log(2.0), 2.0
"""Standard deviation of ln bound that is thought likely, and with how many targets that counts."""
_DOUBT = 2.0
"""Where so many targets showed their bounds, these count for half."""
_PARTS = 8
"""Bounds that stand for those that were not seen."""


class _Like(NamedTuple):
    """What the others say."""

    kind: Floats
    """How likely each kind is."""
    bound: NormalDist
    """Of ln bound."""
    trust: float
    """0..1: what `bound` counts for."""


class _Said(NamedTuple):
    """What one target says to the others."""

    kind: Floats
    seen: float
    """How likely it is that it showed its bound."""
    x: float
    """Mean of ln bound."""
    x2: float
    """And of its square."""


class _Rows:
    """The laws that one target leaves possible, those without a bound apart."""

    def __init__(self, fit: TargetFit) -> None:
        self.fit = fit
        self.seen = max(1, fit.seen)
        most = most_of(fit.laws)
        bounded = most <= BEYOND * self.seen
        self.laws, self.weights = fit.laws[bounded], fit.weights[bounded]
        self.ln_most, self.kind = np.log(most[bounded]), kinds(self.laws)
        self.open_of_kind = np.bincount(kinds(fit.laws[~bounded]), fit.weights[~bounded], KINDS)

    def told(self, like: _Like) -> tuple[Floats, Floats]:
        """Laws and weights, Σ = 1, those beyond what was seen last."""
        weights, open_ = self.weights * like.kind[self.kind] * self._listening(like, self.ln_most), float(self.open_of_kind @ like.kind)
        if open_ == 0.0:
            return self.laws, weights / weights.sum()
        laws, shares = self._beyond(like)
        all_ = np.concatenate([weights, open_ * shares])
        return np.concatenate([self.laws, laws]), all_ / all_.sum()

    def _beyond(self, like: _Like) -> tuple[Floats, Floats]:
        """Bounds above what was seen, of queues and of shared processors, with their share of what is left open."""
        bounds = self.seen * BEYOND ** ((np.arange(_PARTS) + 0.5) / _PARTS)
        shares = self._listening(like, np.log(bounds)) / _PARTS
        of_kind = like.kind[[QUEUE, SHARED]] / like.kind[[QUEUE, SHARED]].sum()
        n = len(bounds)
        queues = np.stack([np.round(bounds), np.ones(n), np.zeros(n)], axis=1)
        shared = np.stack([np.full(n, math.inf), bounds, 1.0 / bounds], axis=1)
        return np.concatenate([queues, shared]), np.concatenate([shares * of_kind[0], shares * of_kind[1]])

    @staticmethod
    def _listening(like: _Like, x: Floats) -> Floats:
        """How much likelier these ln bounds are for what the others say."""
        return 1.0 - like.trust + like.trust * _SPAN * np.array([like.bound.pdf(one) for one in x.tolist()])

    def says(self, laws: Floats, weights: Floats) -> _Said:
        n = len(self.weights)
        x, kind = np.log(most_of(laws)), np.bincount(self.kind, weights[:n], KINDS).astype(float)
        return _Said(kind, float(weights[:n].sum()), float(weights @ x), float(weights @ x**2))

    def settled(self, like: _Like) -> TargetFit:
        laws, weights = self.told(like)
        unseen = float(weights[len(self.weights) :].sum())
        return replace(self.fit, laws=laws, weights=weights, law=within(_middle(laws, weights), self.fit.capacity), unseen=unseen)


def agreed(fits: Sequence[TargetFit]) -> list[TargetFit]:
    """The same fits, each told what the others of its service say; of all of them, every law has a bound then."""
    rows = [_Rows(fit) for fit in fits]
    likes = [_like([])] * len(rows)
    for _ in range(_ROUNDS):
        said = [one.says(*one.told(like)) for one, like in zip(rows, likes, strict=True)]
        likes = [_like([*said[:i], *said[i + 1 :]]) for i in range(len(rows))]
    return [one.settled(like) for one, like in zip(rows, likes, strict=True)]


def _like(others: Sequence[_Said]) -> _Like:
    kind = np.ones(KINDS) + sum((said.kind for said in others), np.zeros(KINDS))
    n, seen = len(others), sum(said.seen for said in others)
    mean = sum(said.x for said in others) / max(1, n)
    squares = sum(said.x2 for said in others) - n * mean**2
    variance = (squares + _SPREAD_N * _SPREAD**2) / (n + _SPREAD_N) * (1.0 + 1.0 / max(1, n))
    return _Like(kind / kind.sum(), NormalDist(mean, math.sqrt(variance)), seen / (seen + _DOUBT))


def _middle(laws: Floats, weights: Floats) -> Law:
    """Of the most likely kind, the law with the bound in the middle."""
    kind = kinds(laws)
    mine = np.flatnonzero(kind == np.argmax(np.bincount(kind, weights, KINDS)))
    order = mine[np.argsort(most_of(laws[mine]), kind="stable")]
    cumulative = np.cumsum(weights[order])
    return Law(*laws[order[int(np.searchsorted(cumulative, cumulative[-1] / 2))]].tolist())
