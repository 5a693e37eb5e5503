"""What a partition's fold counts of the arms of experiments, and how partitions add up.

Everything is an integer, so that any order and any partitioning give the same sums; they are part of the row that closes a flush, so that
every event counts exactly once. An arm is what events name; the fold knows nothing of the experiment behind it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import add, attrgetter

import numpy as np
from msgspec.structs import asdict

from routecast.analytics.sketch import BUCKETS, bucket_of, decode_counts, decode_many, encode_counts
from routecast.models.events import CALLER_FAULTS, Completed, Feedback, Started
from routecast.models.rows import ARM_KEPT_MS, FIXED_TOKENS, MOST_ARMS, ArmTotals

MILLION = 1_000_000
USUAL_TOKENS = 192
"""Latencies are normalised to answers of this length; without a length they count as they are."""
_LEAST_MS = 0.001
_MOST_COST = 10 * MILLION
"""A request that costs more than 10 USD counts as that, so that squares fit 64 bits."""
_UNSUMMED = frozenset({"arm", "at_ms", "sketch"})
_SUMS = tuple(name for name in ArmTotals.__struct_fields__ if name not in _UNSUMMED)
_sums = attrgetter(*_SUMS)


class ArmSums:
    """Arms of one partition. Memory: at most 64 of them, 6 kB each."""

    def __init__(self, rows: Sequence[ArmTotals] = ()) -> None:
        self._arms = {row.arm: ArmTotals(**asdict(row)) for row in rows}
        self._sketches = {row.arm: dict(zip(*(part.tolist() for part in decode_counts(row.sketch)), strict=True)) for row in rows}

    def started(self, event: Started, at_ms: float, arm: str) -> None:
        """Count a start that `arm` serves, and what its shadow would have done."""
        totals = self._of(arm, at_ms)
        if totals is not None:
            totals.attempts += 1
            totals.exposed += event.attempt == 1
        shadow = event.decision.shadow if event.decision is not None and event.attempt == 1 else None
        behind = self._of(shadow.arm, at_ms) if shadow is not None else None
        if behind is not None and shadow is not None:
            behind.exposed += 1
            behind.agreed += shadow.target == event.target

    def completed(self, event: Completed, at_ms: float, arm: str) -> None:
        """Count an end."""
        totals = self._of(arm, at_ms)
        if totals is None:
            return
        if not event.start_reported:
            totals.attempts += 1
            totals.exposed += event.attempt == 1
        if event.attempt != 1:
            return
        self._ended(totals, event)
        if event.quality is not None:
            _judge(totals, event.quality)
        if event.cost_usd is not None:
            cost = min(_MOST_COST, round(event.cost_usd * MILLION))
            totals.cost_n += 1
            totals.cost_sum += cost
            totals.cost_sum2 += cost * cost

    def _ended(self, totals: ArmTotals, event: Completed) -> None:
        outcome = event.outcome
        if outcome == "cancelled":
            totals.cancelled += 1
        elif outcome == "error" and event.error_type in CALLER_FAULTS:
            totals.caller_fault += 1
        elif outcome == "ok":
            totals.ok += 1
            ln = normalised(event.duration_ms, event.output_tokens)
            totals.n += 1
            totals.sum_ln += ln
            totals.sum_ln2 += ln * ln // MILLION
        else:
            totals.failed += 1
        if outcome in {"ok", "timeout"}:
            sketch, bucket = self._sketches[totals.arm], bucket_of(round(event.duration_ms * 1000))
            sketch[bucket] = sketch.get(bucket, 0) + 1

    def judged(self, event: Feedback, at_ms: float) -> None:
        """Count quality that became known later."""
        totals = self._of(event.arm, at_ms)
        if totals is not None and event.quality is not None:
            _judge(totals, event.quality)

    def _of(self, arm: str, at_ms: float) -> ArmTotals | None:
        totals = self._arms.get(arm)
        if totals is None:
            if len(self._arms) >= MOST_ARMS and not self._make_room(at_ms):
                return None
            totals = self._arms[arm] = ArmTotals(arm)
            self._sketches[arm] = {}
        totals.at_ms = max(totals.at_ms, at_ms)
        return totals

    def _make_room(self, at_ms: float) -> bool:
        """Forget the arm that was silent for longest, where that is longer than any experiment."""
        oldest = min(self._arms.values(), key=lambda totals: (totals.at_ms, totals.arm))
        if oldest.at_ms > at_ms - ARM_KEPT_MS:
            return False
        del self._arms[oldest.arm], self._sketches[oldest.arm]
        return True

    def rows(self) -> list[ArmTotals]:
        """To be written."""
        for arm, totals in self._arms.items():
            totals.sketch = encode_counts(self._sketches[arm])
        return list(self._arms.values())


def normalised(duration_ms: float, output_tokens: int | None) -> int:
    """Ln of a latency in ms as if the answer had the usual length, in millionths."""
    scale = (USUAL_TOKENS + FIXED_TOKENS) / (output_tokens + FIXED_TOKENS) if output_tokens else 1.0
    return round(math.log(max(_LEAST_MS, duration_ms) * scale) * MILLION)


def _judge(totals: ArmTotals, quality: float) -> None:
    value = round(quality * MILLION)
    totals.quality_n += 1
    totals.quality_sum += value
    totals.quality_sum2 += value * value // MILLION


def merged(partitions: Iterable[Iterable[ArmTotals]]) -> dict[str, ArmTotals]:
    """The arms of all partitions, by name."""
    found: dict[str, list[ArmTotals]] = {}
    for rows in partitions:
        for row in rows:
            found.setdefault(row.arm, []).append(row)
    return {arm: _sum(rows) for arm, rows in sorted(found.items())}


def _sum(rows: list[ArmTotals]) -> ArmTotals:
    sums = [0] * len(_SUMS)
    for row in rows:
        sums = [*map(add, sums, _sums(row))]
    figures = dict(zip(_SUMS, sums, strict=True))
    return ArmTotals(arm=rows[0].arm, at_ms=max(row.at_ms for row in rows), sketch=_sketch([row.sketch for row in rows]), **figures)


def _sketch(encoded: list[bytes]) -> bytes:
    if len(encoded) == 1:
        return encoded[0]
    _, buckets, counts = decode_many(encoded)
    summed = np.bincount(buckets, counts, BUCKETS).astype(np.int64).tolist()
    return encode_counts({bucket: count for bucket, count in enumerate(summed) if count})
