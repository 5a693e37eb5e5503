"""Eternal sums of a target: how a completion counts, how partitions add up, what is new between two looks."""

from __future__ import annotations

import math
from functools import lru_cache

from routecast.analytics.pane import MILLION
from routecast.models.events import CALLER_FAULTS, Completed, Feedback, Started
from routecast.models.rows import TargetTotals

_LABELS = ("target", "provider", "model", "service", "region")
_SUMS = tuple(name for name in TargetTotals.__struct_fields__ if name not in _LABELS)


def add_totals(left: TargetTotals, right: TargetTotals) -> TargetTotals:
    """The sum of two totals of one target; a label that only one knows is kept."""
    labels = (getattr(left, name) or getattr(right, name) for name in _LABELS)
    return TargetTotals(*labels, *(getattr(left, name) + getattr(right, name) for name in _SUMS))


def difference(now: TargetTotals | None, before: TargetTotals | None) -> TargetTotals:
    """What is new; all 0 for a target of which nothing is known."""
    new = TargetTotals(now.target if now is not None else "")
    if now is not None:
        for name in _SUMS:
            setattr(new, name, getattr(now, name) - (getattr(before, name) if before else 0))
    return new


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


def book(totals: TargetTotals, event: Completed, us: int) -> None:
    """Count a completion; `us` is its duration in whole microseconds."""
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
    if event.quality is not None or event.satisfaction is not None:
        judge(totals, event)


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
