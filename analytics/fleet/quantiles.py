"""Published quantiles of a target's times, and what to assume of a newcomer: those of the same model elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from routecast.models.config import TargetConfig


class Quantiles(NamedTuple):
    """Published quantiles of one target, ms, at `models.snapshot.QUANTILES`."""

    ttft_ms: tuple[float, ...] = ()
    tpot_ms: tuple[float, ...] = ()


_NONE = Quantiles()


def to_publish(targets: Sequence[TargetConfig], new: Sequence[bool], known: Mapping[str, Quantiles]) -> list[Quantiles]:
    """The quantiles of every target; of a newcomer without any, the median over the same model elsewhere."""
    mine = [known.get(target.id, _NONE) for target in targets]
    return [_elsewhere(target.model, targets, mine) if new[i] and not mine[i].ttft_ms else mine[i] for i, target in enumerate(targets)]


def _elsewhere(model: str, targets: Sequence[TargetConfig], known: Sequence[Quantiles]) -> Quantiles:
    same = [quantiles for target, quantiles in zip(targets, known, strict=True) if target.model == model]
    return Quantiles(_medians([it.ttft_ms for it in same]), _medians([it.tpot_ms for it in same]))


def _medians(elsewhere: Sequence[Sequence[float]]) -> tuple[float, ...]:
    known = [quantiles for quantiles in elsewhere if quantiles]
    return tuple(median(at) for at in zip(*known, strict=True))
