"""Eternal sums of a target: how a completion counts, how partitions add up, what is new between two looks."""

from __future__ import annotations

import math

from routecast.analytics.pane import MILLION
from routecast.models.events import CALLER_FAULTS, Completed, Feedback
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


def book(totals: TargetTotals, event: Completed) -> None:
    """Count a completion."""
    us = round(event.duration_ms * 1000)
    totals.duration_us += us
    if event.outcome == "ok":
        totals.ok += 1
        totals.ok_us += us
    elif event.outcome == "error" and event.error_type in CALLER_FAULTS:
        totals.caller_fault += 1
    else:
        setattr(totals, event.outcome, getattr(totals, event.outcome) + 1)
        if event.outcome != "cancelled":
            totals.fail_us += us
    if event.input_tokens is not None:
        totals.input_n += 1
        totals.input_tokens += event.input_tokens
    if event.output_tokens is not None and event.outcome == "ok":
        totals.output_n += 1
        totals.ln_output_sum += round(math.log(max(1, event.output_tokens)) * MILLION)
    totals.output_tokens += event.output_tokens or 0
    if event.cost_usd is not None:
        totals.cost_micro_usd += round(event.cost_usd * MILLION)
    judge(totals, event)


def judge(totals: TargetTotals, event: Completed | Feedback) -> None:
    """Add quality and satisfaction."""
    if event.quality is not None:
        totals.quality_n += 1
        totals.quality_sum += round(event.quality * MILLION)
    if event.satisfaction is not None:
        totals.satisfaction_n += 1
        totals.satisfaction_sum += round(event.satisfaction * MILLION)
