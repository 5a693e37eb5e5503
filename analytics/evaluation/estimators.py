"""Estimators of a policy's value. Each is a ratio of two sums over the rows, so that one rule gives all their intervals.

`policy` is [rows × targets], the probability with which the policy would choose each target for each row; weights are its probability of the
logged choice ÷ the logged propensity.

Sources: D. G. Horvitz, D. J. Thompson 1952 (inverse propensity); A. Swaminathan, T. Joachims, "The Self-Normalized Estimator for
Counterfactual Learning", 2015; M. Dudík, J. Langford, L. Li, "Doubly Robust Policy Evaluation and Learning", 2011.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from routecast.analytics.evaluation.logged import Floats, Logged

CLIP = 20.0
"""No row counts for more than so many: a bounded bias for a bounded variance."""


class Terms(NamedTuple):
    """Numerator and denominator of each row."""

    top: Floats
    bottom: Floats

    @property
    def value(self) -> float:
        """The estimate: Σ top ÷ Σ bottom; NaN without rows that count."""
        bottom = float(self.bottom.sum())
        return float(self.top.sum()) / bottom if bottom > 0 else float("nan")


def weights(logged: Logged, policy: Floats, clip: float = np.inf) -> Floats:
    """[rows] How many logged requests each stands for, at most `clip`."""
    raw: Floats = logged.of_chosen(policy) / logged.propensity
    return np.minimum(raw, clip)


def on_policy(reward: Floats) -> Terms:
    """The rows as they were decided."""
    return Terms(reward, np.ones(len(reward)))


def inverse_propensity(logged: Logged, policy: Floats, reward: Floats, clip: float = CLIP) -> Terms:
    """Mean of weight × reward."""
    return Terms(weights(logged, policy, clip) * reward, np.ones(len(logged)))


def self_normalised(logged: Logged, policy: Floats, reward: Floats, clip: float = CLIP) -> Terms:
    """Weighted mean of the rewards: its value stays among them."""
    w = weights(logged, policy, clip)
    return Terms(w * reward, w)


def doubly_robust(logged: Logged, policy: Floats, reward: Floats, predicted: Floats, clip: float = CLIP) -> Terms:
    """What a model [rows × targets] predicts for the policy, corrected by the weighted error it made: right where either is right."""
    direct: Floats = np.einsum("ij,ij->i", policy, predicted)
    return Terms(direct + weights(logged, policy, clip) * (reward - logged.of_chosen(predicted)), np.ones(len(logged)))


def matching_rows(logged: Logged, policy: Floats, reward: Floats) -> Terms:
    """Naive: the mean of the rows on which the policy agrees with the log, in expectation. Right only where the log was drawn uniformly."""
    agreed: Floats = logged.of_chosen(policy)
    return Terms(agreed * reward, agreed)


def target_means(logged: Logged, policy: Floats, reward: Floats) -> Terms:
    """Naive: every request at the mean of its target, whichever requests that target got. A target without requests counts as the mean of all."""
    k = len(logged.targets)
    counts = np.bincount(logged.chosen, minlength=k)
    sums = np.bincount(logged.chosen, weights=reward, minlength=k)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), reward.mean() if len(reward) else np.nan)
    return Terms(policy @ means, np.ones(len(logged)))
