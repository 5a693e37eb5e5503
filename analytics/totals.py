"""Eternal sums of a target: how a completion counts, how partitions add up, what is new between two looks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import add, attrgetter, sub
from typing import Any

from routecast.analytics.pane import LEAST_MS, MILLION
from routecast.analytics.routing.rate_limits import HOLD_MS, LONGEST_HOLD_MS
from routecast.models.events import CALLER_FAULTS, Completed, Feedback, Started
from routecast.models.rows import MOST_REGIONS, RegionTally, TargetTotals

_LABELS = ("provider", "model", "service", "region")
_labels: Callable[[TargetTotals], tuple[str, ...]] = attrgetter(*_LABELS)
_SUMS = tuple(name for name in TargetTotals.__struct_fields__ if name not in {"target", *_LABELS, "regions", "refused", "limits"})
_sums: Callable[[TargetTotals], tuple[int, ...]] = attrgetter(*_SUMS)
_NOTHING = TargetTotals("")


def added(parts: Sequence[TargetTotals]) -> TargetTotals:
    """The sum of totals of one target, of which there are some; of labels the first that is known."""
    first = parts[0]
    if len(parts) == 1:
        return first
    labels: tuple[str, ...] = (first.provider, first.model, first.service, first.region)
    if not all(labels):
        labels = tuple(next(filter(None, said), "") for said in zip(*map(_labels, parts), strict=True))
    sums, regions, refused, limits = _sums(first), first.regions, first.refused, first.limits
    for part in parts[1:]:
        sums = tuple(map(add, sums, _sums(part)))
        regions = _regions(regions, part.regions, 1)
        refused, limits = max(refused, part.refused), max(limits, part.limits)
    figures: tuple[Any, ...] = (first.target, *labels, *sums, regions, refused, limits)
    return TargetTotals(*figures)


def _regions(left: Sequence[RegionTally], right: Sequence[RegionTally], sign: int) -> list[RegionTally]:
    """Left ± right, by the name of the region."""
    if not left and not right:
        return []
    sums = {tally.region: (tally.n, tally.sum_ln) for tally in left}
    for tally in right:
        n, sum_ln = sums.get(tally.region, (0, 0))
        sums[tally.region] = (n + sign * tally.n, sum_ln + sign * tally.sum_ln)
    return [RegionTally(region, *sums[region]) for region in sorted(sums)]


def difference(now: TargetTotals | None, before: TargetTotals | None) -> TargetTotals:
    """What is new; all 0 for a target of which nothing is known. Of limits and refusals the newest."""
    if now is None:
        return TargetTotals("")
    before = before or _NOTHING
    regions = _regions(now.regions, before.regions, -1)
    figures: tuple[Any, ...] = (now.target, "", "", "", "", *map(sub, _sums(now), _sums(before)), regions, now.refused, now.limits)
    return TargetTotals(*figures)


def label(totals: TargetTotals, event: Started | Completed) -> None:
    """Take what an event knows of its target."""
    if event.provider:
        totals.provider = event.provider
    if event.model:
        totals.model = event.model
    if event.service:
        totals.service = event.service
    if event.region:
        totals.region = event.region


def book(totals: TargetTotals, event: Completed, us: int, at_ms: float) -> None:
    """Count a completion; `us` is its duration in whole microseconds, `at_ms` when it counts."""
    totals.duration_us += us
    tokens = event.output_tokens
    if event.outcome == "ok":
        totals.ok += 1
        totals.ok_us += us
        if tokens is not None:
            totals.output_n += 1
            totals.ln_output_sum += _ln(tokens)
    else:
        _book_failure(totals, event, us)
    if event.input_tokens is not None:
        totals.input_n += 1
        totals.input_tokens += event.input_tokens
    if tokens:
        totals.output_tokens += tokens
    if event.cost_usd is not None:
        totals.cost_micro_usd += round(event.cost_usd * MILLION)
        totals.cost_n += 1
        totals.cost_input_tokens += event.input_tokens or 0
        totals.cost_output_tokens += tokens or 0
    if event.caller_region:
        _book_region(totals, event)
    if event.quality is not None or event.satisfaction is not None:
        judge(totals, event)
    if event.limits is not None or event.outcome == "rate_limited":
        _book_limits(totals, event, at_ms)


def _book_region(totals: TargetTotals, event: Completed) -> None:
    """Count the time to the first chunk, or where nothing was streamed, of the whole answer, for the caller's region."""
    first_ms = event.ttft_ms if event.ttft_ms is not None else event.duration_ms if event.outcome == "ok" else None
    if first_ms is None:
        return
    region = event.caller_region
    for tally in totals.regions:
        if tally.region == region:
            break
    else:
        if len(totals.regions) >= MOST_REGIONS:
            return
        tally = RegionTally(region)
        totals.regions.append(tally)
    tally.n += 1
    tally.sum_ln += round(math.log(max(LEAST_MS, first_ms)) * MILLION)


def _book_limits(totals: TargetTotals, event: Completed, at_ms: float) -> None:
    """Keep the newest of what providers said of their limits, and the refusal that reaches furthest, 300 s from `at_ms` at the most."""
    said = event.limits
    if said is not None and (said.requests_per_min or said.tokens_per_min):
        totals.limits = max(totals.limits, (int(at_ms), said.requests_per_min or 0, said.tokens_per_min or 0))
    if event.outcome == "rate_limited":
        hold_ms = int(min(LONGEST_HOLD_MS, HOLD_MS if event.retry_after_ms is None else event.retry_after_ms))
        totals.refused = max(totals.refused, (int(at_ms) + hold_ms, hold_ms))


def _book_failure(totals: TargetTotals, event: Completed, us: int) -> None:
    outcome = event.outcome
    if outcome == "error" and event.error_type in CALLER_FAULTS:
        totals.caller_fault += 1
        return
    setattr(totals, outcome, getattr(totals, outcome) + 1)
    if outcome != "cancelled":
        totals.fail_us += us


@lru_cache(4096)
def _ln(tokens: int) -> int:
    """Ln of a number of tokens in millionths; numbers come again and again."""
    return round(math.log(max(1, tokens)) * MILLION)


def judge(totals: TargetTotals, event: Completed | Feedback) -> None:
    """Add quality and satisfaction."""
    if event.quality is not None:
        totals.quality_n += 1
        totals.quality_sum += round(event.quality * MILLION)
    if event.satisfaction is not None:
        totals.satisfaction_n += 1
        totals.satisfaction_sum += round(event.satisfaction * MILLION)
