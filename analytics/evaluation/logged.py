"""Logged decisions as arrays: what was chosen with which probability among what, in which situation, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routecast.models.errors import CheckFailed
from routecast.models.evaluation import Reward

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

FOLDS = 5
"""Parts of the log for cross-fitting: the outcomes of a part are predicted from the others."""
NO_VERSION = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Logged:
    """Decisions of one service that drew, one a row. Memory: a byte × rows × targets, during an evaluation some 25 more.

    Raises CheckFailed where the arrays do not fit together, a propensity is outside (0, 1], a choice was not allowed, or a reward is infinite.
    """

    targets: tuple[str, ...]
    """Ids, in the order of the columns."""
    chosen: Ints
    """[rows] Column of the target."""
    propensity: Floats
    """[rows] Probability with which it was drawn, (0, 1]."""
    allowed: Flags
    """[rows × targets] Among what."""
    rewards: Mapping[Reward, Floats]
    """[rows] each; NaN where it is not known."""
    context: Floats
    """[rows × features] What was known of the request before the decision; NaN where it was not."""
    folds: Ints
    """[rows] 0 … FOLDS − 1, by a hash of the request: the same request is in the same part whatever else was logged."""
    blocks: Ints
    """[rows] Rows that share a number may share their luck, as neighbours in time do; intervals take them together."""
    versions: Ints
    """[rows × 2] (term, seq) of the snapshot that was read; (0, 0) before the first; −1 where it is not known."""
    excluded: Mapping[str, int] = field(default_factory=dict)
    """What was left out, by reason."""
    unknown: int = 0
    """Decisions that are left out because nobody knows how they ended."""
    service: str = ""
    source: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    """[rows] Row of the table that each came from; empty where there was none."""

    def __post_init__(self) -> None:
        n, k = len(self.chosen), len(self.targets)
        shapes = {"propensity": (n,), "allowed": (n, k), "context": (n, self.context.shape[-1]), "folds": (n,), "blocks": (n,), "versions": (n, 2)}
        for name, shape in shapes.items():
            _shaped(name, getattr(self, name), shape)
        for name, reward in self.rewards.items():
            _shaped(name, reward, (n,))
            _require(~np.isinf(reward), f"{name} is infinite: leave it NaN where it is not known")
        _require((self.chosen >= 0) & (self.chosen < k), f"the choice is none of the {k} targets")
        _require((self.propensity > 0) & (self.propensity <= 1), "the propensity is not in (0, 1]: without it a decision cannot be weighted, leave it out")
        _require((self.folds >= 0) & (self.folds < FOLDS), f"the part is not in 0…{FOLDS - 1}")
        _require(self.of_chosen(self.allowed), "the target that was chosen was not allowed: the candidates belong to another snapshot")

    @classmethod
    def of(
        cls, targets: Sequence[str], chosen: Ints, propensity: Floats, rewards: Mapping[Reward, Floats], *, allowed: Flags | None = None,
        context: Floats | None = None,
    ) -> Logged:  # fmt: skip
        """From the least that is needed: every target allowed, no context, each row by itself, parts by row number."""
        n = len(chosen)
        return cls(
            targets=tuple(targets), chosen=chosen, propensity=propensity, rewards=rewards,
            allowed=np.ones((n, len(targets)), bool) if allowed is None else allowed, context=np.empty((n, 0)) if context is None else context,
            folds=np.arange(n) % FOLDS, blocks=np.arange(n), versions=np.full((n, 2), NO_VERSION),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.chosen)

    def of_chosen(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """[rows × targets] → the entry of the chosen target of each row."""
        return matrix[np.arange(len(self)), self.chosen]

    def rows(self, which: Flags | Ints) -> Logged:
        """Only these rows, in this order."""
        return replace(
            self, chosen=self.chosen[which], propensity=self.propensity[which], allowed=self.allowed[which], context=self.context[which],
            rewards={name: reward[which] for name, reward in self.rewards.items()}, folds=self.folds[which], blocks=self.blocks[which],
            versions=self.versions[which], source=self.source[which] if len(self.source) else self.source,
        )  # fmt: skip

    def without(self, which: Flags, reason: str) -> Logged:
        """All but these rows, which are counted as left out for this reason."""
        left_out = int(which.sum())
        return replace(self.rows(~which), excluded={**self.excluded, reason: left_out}) if left_out else self


def _shaped(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise CheckFailed(f"logged decisions: {name} has shape {array.shape}, not {shape}: give one row for each decision")


def _require(sound: Flags, otherwise: str) -> None:
    if not sound.all():
        raise CheckFailed(f"logged decisions: in row {int(np.argmin(sound))} {otherwise}")
