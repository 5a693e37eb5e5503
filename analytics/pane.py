"""Ten seconds of one target: counts, sums and sketches that only ever add integers, so any order of merging gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import log
from operator import attrgetter
from typing import Any

from msgspec.structs import replace

from routecast.analytics.tally import TallyPane
from routecast.models.events import CALLER_FAULTS, Completed, Feedback, Resources, Started
from routecast.models.rows import FIXED_TOKENS, SLOTS, Slot, TargetPane

MILLION = 1_000_000
LEAST_MS = 0.001
"""What takes less counts as this in logarithms."""


class Pane:
    """One target in one pane of one partition, while it can still change."""

    __slots__ = (
        "_row", "caller_fault", "cancelled", "cost_micro_usd", "cpu_n", "cpu_sum", "duration", "error", "input_tokens", "late", "late_quality_n",
        "late_quality_sum", "late_satisfaction_n", "late_satisfaction_sum", "memory_n", "memory_sum", "network_n", "network_us_sum", "ok",
        "output_tokens", "quality_n", "quality_sum", "queue_depth_max", "queue_n", "rate_limited", "satisfaction_n", "satisfaction_sum", "slots",
        "target", "timeout", "tpot", "ttft",
    )  # fmt: skip

    def __init__(self, target: str) -> None:
        self.target = target
        self.ok = self.error = self.timeout = self.rate_limited = self.cancelled = self.caller_fault = 0
        self.duration, self.ttft, self.tpot = TallyPane(), TallyPane(), TallyPane()
        self.input_tokens = self.output_tokens = self.cost_micro_usd = 0
        self.quality_n = self.quality_sum = self.satisfaction_n = self.satisfaction_sum = 0
        self.cpu_n = self.cpu_sum = self.memory_n = self.memory_sum = self.network_n = self.network_us_sum = 0
        self.queue_n = self.queue_depth_max = 0
        self.late = self.late_quality_n = self.late_quality_sum = self.late_satisfaction_n = self.late_satisfaction_sum = 0
        self.slots: list[Slot | None] = [None] * SLOTS
        self._row: TargetPane | None = None

    @classmethod
    def restored(cls, row: TargetPane) -> Pane:
        """The pane behind a row."""
        pane = cls(row.target)
        for name in (*_OUTCOMES, *_FIGURES, *_LATE):
            setattr(pane, name, getattr(row, name))
        pane.duration, pane.ttft, pane.tpot = TallyPane(row.duration), TallyPane(row.ttft), TallyPane(row.tpot)
        for slot in row.slots:
            pane.slots[slot.slot] = replace(slot)
        pane._row = row
        return pane

    def row(self) -> TargetPane:
        """The pane as it is written; built anew only after a change."""
        if self._row is None:
            tallies = [tally.row() for tally in self.tallies]
            slots = tuple([replace(slot) for slot in self.slots if slot is not None])
            in_order: tuple[Any, ...] = (self.target, *_outcomes(self), *tallies, *_figures(self), slots, *_late(self))
            self._row = TargetPane(*in_order)
        return self._row

    @property
    def tallies(self) -> tuple[TallyPane, TallyPane, TallyPane]:
        """Its durations."""
        return self.duration, self.ttft, self.tpot

    def started(self, index: int, *, first: bool) -> None:
        """Count a start in the half-second of this index, 0..19."""
        self._row = None
        slot = self.slots[index] or self._slot(index)
        slot.started += 1
        if first:
            slot.first_attempts += 1

    def ended(self, index: int, event: Completed) -> None:
        """Count the end of a request that started in this half-second here, and its start where nobody reported that."""
        self._row = None
        slot = self.slots[index] or self._slot(index)
        if not event.start_reported:
            slot.started += 1
            slot.first_attempts += event.attempt == 1
        slot.ended += 1
        if event.outcome == "ok":
            duration_ms = event.duration_ms
            ln = round(log(max(LEAST_MS, duration_ms)) * MILLION)
            slot.n += 1
            slot.sum_ln += ln
            slot.sum_ln2 += ln * ln // MILLION
            tokens = event.output_tokens
            if tokens:
                slot.tokens_n += 1
                slot.sum_ln_tokens += _ln_tokens(tokens)

    def _slot(self, index: int) -> Slot:
        slot = self.slots[index] = Slot(index)
        return slot

    def completed(self, index: int, event: Completed, us: int) -> None:
        """Count a completion in the pane of its end; `us` is its duration in whole microseconds."""
        self._row = None
        slot = self.slots[index] or self._slot(index)
        slot.completed += 1
        if event.outcome == "ok":
            self.ok += 1
            self.duration.fresh.append(us)
        else:
            self._failed(event, us)
        tokens, ttft_ms = event.output_tokens, event.ttft_ms
        if ttft_ms is not None:
            self.ttft.fresh.append(round(ttft_ms * 1000))
            if tokens and tokens > 1 and event.outcome == "ok":
                streamed_ms = event.duration_ms - ttft_ms
                self.tpot.fresh.append(round(streamed_ms * 1000 / (tokens - 1)) if streamed_ms > 0.0 else 0)
        if event.input_tokens:
            self.input_tokens += event.input_tokens
        if tokens:
            self.output_tokens += tokens
        if event.cost_usd is not None:
            self.cost_micro_usd += round(event.cost_usd * MILLION)
        if event.quality is not None or event.satisfaction is not None:
            self.judged(event)

    def _failed(self, event: Completed, us: int) -> None:
        outcome = event.outcome
        if outcome == "error" and event.error_type in CALLER_FAULTS:
            self.caller_fault += 1
            return
        setattr(self, outcome, getattr(self, outcome) + 1)
        if outcome == "timeout":
            self.duration.fresh.append(us)

    def judged(self, event: Completed | Feedback) -> None:
        """Add quality and satisfaction."""
        self._row = None
        if event.quality is not None:
            self.quality_n += 1
            self.quality_sum += round(event.quality * MILLION)
        if event.satisfaction is not None:
            self.satisfaction_n += 1
            self.satisfaction_sum += round(event.satisfaction * MILLION)

    def came_late(self, event: Started | Completed | Feedback) -> None:
        """Count an event that came while this pane was filling, too late for its own, and what it said if it is feedback."""
        self._row = None
        self.late += 1
        if isinstance(event, Feedback):
            if event.quality is not None:
                self.late_quality_n += 1
                self.late_quality_sum += round(event.quality * MILLION)
            if event.satisfaction is not None:
                self.late_satisfaction_n += 1
                self.late_satisfaction_sum += round(event.satisfaction * MILLION)

    def resources(self, event: Resources) -> None:
        """Add what a target said of itself."""
        self._row = None
        if event.cpu is not None:
            self.cpu_n += 1
            self.cpu_sum += round(event.cpu * MILLION)
        if event.memory is not None:
            self.memory_n += 1
            self.memory_sum += round(event.memory * MILLION)
        if event.network_ms is not None:
            self.network_n += 1
            self.network_us_sum += round(event.network_ms * 1000)
        if event.queue_depth is not None:
            self.queue_n += 1
            self.queue_depth_max = max(self.queue_depth_max, event.queue_depth)


@lru_cache(4096)
def _ln_tokens(tokens: int) -> int:
    """In millionths; numbers come again and again."""
    return round(log(tokens + FIXED_TOKENS) * MILLION)


_NAMES = TargetPane.__struct_fields__
_OUTCOMES, _FIGURES = _NAMES[_NAMES.index("target") + 1 : _NAMES.index("duration")], _NAMES[_NAMES.index("tpot") + 1 : _NAMES.index("slots")]
_outcomes: Callable[[Pane], tuple[int, ...]] = attrgetter(*_OUTCOMES)
_LATE = _NAMES[_NAMES.index("slots") + 1 :]
_figures: Callable[[Pane], tuple[int, ...]] = attrgetter(*_FIGURES)
_late: Callable[[Pane], tuple[int, ...]] = attrgetter(*_LATE)
