"""Rows of the fold's table (topic `routecast.panes`): what is known of a partition, as integers that merge in any order.

Durations are microseconds, money is micro-USD, ratios are millionths, logarithms are ln(milliseconds) in millionths. A row's
`fence` is the last offset of the source partition applied to it; where two rows have one key, the higher fence wins.
"""

from __future__ import annotations

import msgspec

PANE_MS = 10_000
SLOT_MS = 500
SLOTS = PANE_MS // SLOT_MS
KEPT_MS = 600_000
"""How long panes are kept behind the partition's watermark."""
CHUNK_TARGETS = 256
FIXED_TOKENS = 64
"""Output tokens that take as long as what an answer takes in any case: logarithms of latency and of tokens grow in proportion then."""
MOST_ARMS = 64
"""Arms of experiments that a partition tells apart; further ones are not counted."""
ARM_KEPT_MS = 30 * 86_400_000
"""How long an arm is kept of which nothing is heard: longer than any experiment."""
MOST_REGIONS = 8
"""Regions of callers that are told apart at one target; further ones are not counted."""


class Tally(msgspec.Struct, array_like=True, gc=False):
    """Sum, extremes and sketch of one duration."""

    n: int = 0
    sum_us: int = 0
    min_us: int = 0
    max_us: int = 0
    sketch: bytes = b""


class Slot(msgspec.Struct, array_like=True, gc=False):
    """Half a second of one target. From `ended` on it speaks of the requests *started* in it."""

    slot: int
    first_attempts: int = 0
    started: int = 0
    completed: int = 0
    ended: int = 0
    n: int = 0
    """Successes among the ended."""
    sum_ln: int = 0
    sum_ln2: int = 0
    tokens_n: int = 0
    """Successes among the ended whose output tokens are known."""
    sum_ln_tokens: int = 0
    """Σ ln(output tokens + `FIXED_TOKENS`) of those."""


class TargetPane(msgspec.Struct, array_like=True, gc=False):
    """Ten seconds of one target in one partition. Counts are of attempts that completed in the pane."""

    target: str
    ok: int
    error: int
    timeout: int
    rate_limited: int
    cancelled: int
    caller_fault: int
    duration: Tally
    ttft: Tally
    tpot: Tally
    input_tokens: int
    output_tokens: int
    cost_micro_usd: int
    quality_n: int
    quality_sum: int
    satisfaction_n: int
    satisfaction_sum: int
    cpu_n: int
    cpu_sum: int
    memory_n: int
    memory_sum: int
    network_n: int
    network_us_sum: int
    queue_n: int
    queue_depth_max: int
    slots: tuple[Slot, ...]
    """A tuple, as the garbage collector looks at each list for as long as it is kept: these are most of what a leader keeps."""
    late: int = 0
    """Events that came in this pane, too late for their own: starts, ends and feedback."""
    late_quality_n: int = 0
    """What feedback among them said, of attempts that ended more than ten minutes before."""
    late_quality_sum: int = 0
    late_satisfaction_n: int = 0
    late_satisfaction_sum: int = 0

    @property
    def open(self) -> int:
        """Requests that started here and have not ended."""
        return sum(slot.started - slot.ended for slot in self.slots)


class PaneRow(msgspec.Struct, array_like=True, gc=False):
    """All targets of one chunk in one pane of one partition."""

    partition: int
    pane_ms: int
    """Start of the pane, epoch milliseconds, a multiple of `PANE_MS`."""
    chunk: int
    fence: int
    targets: list[TargetPane]


class RegionTally(msgspec.Struct, array_like=True, gc=False):
    """Times to first chunk of one target, as callers of one region measured them."""

    region: str
    n: int = 0
    sum_ln: int = 0


class TargetTotals(msgspec.Struct, array_like=True, gc=False):
    """Eternal sums of one target in one partition: they survive everything."""

    target: str
    provider: str = ""
    model: str = ""
    service: str = ""
    region: str = ""
    started: int = 0
    first_attempts: int = 0
    ok: int = 0
    error: int = 0
    timeout: int = 0
    rate_limited: int = 0
    cancelled: int = 0
    caller_fault: int = 0
    lost: int = 0
    """Started and never ended when their pane expired."""
    late: int = 0
    """Events older than the kept panes: only here, in no window."""
    duration_us: int = 0
    ok_us: int = 0
    fail_us: int = 0
    input_n: int = 0
    input_tokens: int = 0
    output_n: int = 0
    output_tokens: int = 0
    ln_output_sum: int = 0
    cost_micro_usd: int = 0
    quality_n: int = 0
    quality_sum: int = 0
    satisfaction_n: int = 0
    satisfaction_sum: int = 0
    cost_n: int = 0
    """Requests whose cost was reported; the tokens below are theirs."""
    cost_input_tokens: int = 0
    cost_output_tokens: int = 0
    regions: list[RegionTally] = []
    """Of the first `MOST_REGIONS` regions of callers that this partition saw."""
    refused: tuple[int, int] = (0, 0)
    """Until when (epoch ms) and for how long (ms) the refusal (429) that reaches furthest keeps everybody away; 0 = never refused."""
    limits: tuple[int, int, int] = (0, 0, 0)
    """Newest rate limits that headers told: when (epoch ms), requests and tokens per minute; 0 = unknown."""

    @property
    def failed(self) -> int:
        """Outcomes that count against reliability."""
        return self.error + self.timeout + self.rate_limited

    @property
    def broken(self) -> int:
        """Outcomes that count for a breaker."""
        return self.error + self.timeout


class RouterSeen(msgspec.Struct, array_like=True, gc=False):
    """Last sign of life of a router."""

    emitter: str
    at_ms: float
    services: tuple[str, ...]


class ArmTotals(msgspec.Struct, array_like=True, gc=False):
    """Eternal sums of one arm of an experiment in one partition: of the first call of every request, unless they say otherwise."""

    arm: str
    """As events name it."""
    at_ms: float = 0.0
    """Newest event, epoch ms."""
    exposed: int = 0
    """Started."""
    attempts: int = 0
    """Started, further calls of the same requests included."""
    ok: int = 0
    failed: int = 0
    cancelled: int = 0
    caller_fault: int = 0
    agreed: int = 0
    """Shadow decisions for the target that served."""
    n: int = 0
    """Successes: of their normalised latency, Σ ln and Σ ln²."""
    sum_ln: int = 0
    sum_ln2: int = 0
    quality_n: int = 0
    quality_sum: int = 0
    quality_sum2: int = 0
    cost_n: int = 0
    cost_sum: int = 0
    cost_sum2: int = 0
    """In (micro-USD)²."""
    sketch: bytes = b""
    """Of the durations of successes and timeouts."""


class TotalsRow(msgspec.Struct, array_like=True, gc=False):
    """Eternal sums of one chunk of targets; the row of chunk 0 closes a flush."""

    partition: int
    chunk: int
    fence: int
    watermark_ms: float
    targets: list[TargetTotals]
    events: int = 0
    bad: int = 0
    clamped: int = 0
    """Events that were stamped more than 60 s ahead of their append time."""
    routers: list[RouterSeen] = []
    arms: list[ArmTotals] = []


_pack = msgspec.msgpack.Encoder()
_pane = msgspec.msgpack.Decoder(PaneRow)
_totals = msgspec.msgpack.Decoder(TotalsRow)


def pane_key(partition: int, pane_ms: int, chunk: int) -> bytes:
    """Key of a pane row."""
    return f"pane/{partition}/{pane_ms}/{chunk}".encode()


def totals_key(partition: int, chunk: int) -> bytes:
    """Key of a totals row."""
    return f"totals/{partition}/{chunk}".encode()


def encode_row(row: PaneRow | TotalsRow) -> bytes:
    """MessagePack of a row; equal rows give equal bytes."""
    return _pack.encode(row)


def decode_row(key: bytes, value: bytes) -> PaneRow | TotalsRow:
    """The row behind a changelog record.

    Raises msgspec.DecodeError when the value is not a row.
    """
    return (_pane if key.startswith(b"pane/") else _totals).decode(value)
