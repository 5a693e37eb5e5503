"""Ten seconds of one target: counts, sums and sketches that only ever add integers, so any order of merging gives the same bytes."""

from __future__ import annotations

import math
from copy import copy

from routecast.analytics.sketch import bucket_of, decode_counts, encode_counts
from routecast.models.events import CALLER_FAULTS, Completed, Feedback, Resources
from routecast.models.rows import SLOT_MS, Slot, Tally, TargetPane

MILLION = 1_000_000


class TallyPane:
    """A duration being tallied, in microseconds."""

    __slots__ = ("counts", "max_us", "min_us", "n", "sum_us")

    def __init__(self, tally: Tally | None = None) -> None:
        self.n = 0
        self.sum_us = 0
        self.min_us = 0
        self.max_us = 0
        self.counts: dict[int, int] = {}
        if tally is not None and tally.n:
            self.n, self.sum_us, self.min_us, self.max_us = tally.n, tally.sum_us, tally.min_us, tally.max_us
            buckets, counts = decode_counts(tally.sketch)
            self.counts = dict(zip(buckets.tolist(), counts.tolist(), strict=True))

    def add(self, us: int) -> None:
        """Tally one duration."""
        if not self.n or us < self.min_us:
            self.min_us = us
        self.max_us = max(self.max_us, us)
        self.n += 1
        self.sum_us += us
        bucket = bucket_of(us)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def row(self) -> Tally:
        """The tally as it is written."""
        return Tally(self.n, self.sum_us, self.min_us, self.max_us, encode_counts(self.counts)) if self.n else Tally()


class Pane:
    """One target in one pane of one partition, while it can still change."""

    __slots__ = (
        "_row", "caller_fault", "cancelled", "cost_micro_usd", "cpu_n", "cpu_sum", "duration", "error", "input_tokens", "memory_n", "memory_sum",
        "network_n", "network_us_sum", "ok", "output_tokens", "quality_n", "quality_sum", "queue_depth_max", "queue_n", "rate_limited",
        "satisfaction_n", "satisfaction_sum", "slots", "target", "timeout", "tpot", "ttft",
    )  # fmt: skip

    def __init__(self, target: str) -> None:
        self.target = target
        self.ok = self.error = self.timeout = self.rate_limited = self.cancelled = self.caller_fault = 0
        self.duration, self.ttft, self.tpot = TallyPane(), TallyPane(), TallyPane()
        self.input_tokens = self.output_tokens = self.cost_micro_usd = 0
        self.quality_n = self.quality_sum = self.satisfaction_n = self.satisfaction_sum = 0
        self.cpu_n = self.cpu_sum = self.memory_n = self.memory_sum = self.network_n = self.network_us_sum = 0
        self.queue_n = self.queue_depth_max = 0
        self.slots: dict[int, Slot] = {}
        self._row: TargetPane | None = None

    @classmethod
    def restored(cls, row: TargetPane) -> Pane:
        """The pane behind a row."""
        pane = cls(row.target)
        for name in _PLAIN:
            setattr(pane, name, getattr(row, name))
        pane.duration, pane.ttft, pane.tpot = TallyPane(row.duration), TallyPane(row.ttft), TallyPane(row.tpot)
        pane.slots = {slot.slot: copy(slot) for slot in row.slots}
        return pane

    def row(self) -> TargetPane:
        """The pane as it is written; built anew only after a change."""
        if self._row is None:
            figures = {name: getattr(self, name) for name in _PLAIN}
            self._row = TargetPane(
                target=self.target,
                duration=self.duration.row(),
                ttft=self.ttft.row(),
                tpot=self.tpot.row(),
                slots=[copy(self.slots[index]) for index in sorted(self.slots)],
                **figures,
            )
        return self._row

    def slot(self, offset_ms: float) -> Slot:
        """The half-second at this offset from the start of the pane, made where it is new; the caller is about to change it."""
        self._row = None
        index = int(offset_ms) // SLOT_MS
        found = self.slots.get(index)
        if found is None:
            found = self.slots[index] = Slot(index)
        return found

    def started(self, offset_ms: float, *, first: bool) -> None:
        """Count a start."""
        slot = self.slot(offset_ms)
        slot.started += 1
        slot.first_attempts += first

    def ended(self, offset_ms: float, ln: int | None) -> None:
        """Count the end of a request that started here; `ln` is ln(ms) of a success in millionths, None for anything else."""
        slot = self.slot(offset_ms)
        slot.ended += 1
        if ln is not None:
            slot.n += 1
            slot.sum_ln += ln
            slot.sum_ln2 += ln * ln // MILLION

    def completed(self, offset_ms: float, event: Completed) -> None:
        """Count a completion in the pane of its end."""
        self.slot(offset_ms).completed += 1
        outcome = event.outcome
        if outcome == "ok":
            self.ok += 1
        elif outcome == "error" and event.error_type in CALLER_FAULTS:
            self.caller_fault += 1
        else:
            setattr(self, outcome, getattr(self, outcome) + 1)
        if outcome in {"ok", "timeout"}:
            self.duration.add(round(event.duration_ms * 1000))
        if event.ttft_ms is not None:
            self._streamed(event, event.ttft_ms)
        self.input_tokens += event.input_tokens or 0
        self.output_tokens += event.output_tokens or 0
        if event.cost_usd is not None:
            self.cost_micro_usd += round(event.cost_usd * MILLION)
        if event.quality is not None or event.satisfaction is not None:
            self.judged(event)

    def _streamed(self, event: Completed, ttft_ms: float) -> None:
        self.ttft.add(round(ttft_ms * 1000))
        if event.outcome == "ok" and event.output_tokens is not None and event.output_tokens > 1:
            self.tpot.add(round(max(0.0, event.duration_ms - ttft_ms) * 1000 / (event.output_tokens - 1)))

    def judged(self, event: Completed | Feedback) -> None:
        """Add quality and satisfaction."""
        self._row = None
        if event.quality is not None:
            self.quality_n += 1
            self.quality_sum += round(event.quality * MILLION)
        if event.satisfaction is not None:
            self.satisfaction_n += 1
            self.satisfaction_sum += round(event.satisfaction * MILLION)

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


_PLAIN = tuple(name for name in TargetPane.__struct_fields__ if name not in {"target", "duration", "ttft", "tpot", "slots"})


def ln_ms(duration_ms: float) -> int:
    """Ln of a duration in milliseconds, in millionths; below 1 µs counts as 1 µs."""
    return round(math.log(max(duration_ms, 0.001)) * MILLION)
