"""Closed windows (topic `routecast.metrics`): one record for each subject and window, corrected by a higher version.

Everything is an integer that adds up, so that a reader can merge windows and subjects and compute any figure of the whole, percentiles
included: `routecast.analytics.windows.closed_window` does both. Names carry units: durations are microseconds, money is micro-USD, ratios are
millionths. A field that is 0 or unknown is absent on the wire.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec

from routecast.models.errors import DecodeError
from routecast.models.insights import SubjectKind

ClosedWindow = Literal["10s", "1m", "1h"]

CLOSED_WINDOWS: Final[tuple[ClosedWindow, ...]] = get_args(ClosedWindow)
"""The topic has a partition for each, in this order, so that a day of hours can be read without its seconds."""


class Distribution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One duration in one window."""

    n: int = 0
    sum_us: int = 0
    min_us: int = 0
    max_us: int = 0
    sketch: bytes = b""
    """Counts per logarithmic bucket, see `routecast.analytics.sketch`; base64 on the wire."""


class WindowRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A window of one subject that is over. Counts are of attempts that ended in it.

    A record follows once the window is over, and further ones as long as its rows are kept, where late rows or feedback changed something:
    at most four. Of the records of a key the one with the highest version counts, of equal versions the last.
    """

    kind: SubjectKind
    id: str
    provider: str | None = None
    model: str | None = None
    service: str | None = None
    region: str | None = None
    window: ClosedWindow
    start_ms: int
    end_ms: int
    covered_ms: int
    """Length of the part of it that is known, what rates are to be divided by: less than the whole only where the pipeline began in it."""
    version: int
    """Rises with every correction, whoever leads: the sum, over the rows that went in, of the offsets up to which they contain their partition."""
    ok: int = 0
    error: int = 0
    timeout: int = 0
    rate_limited: int = 0
    cancelled: int = 0
    caller_fault: int = 0
    duration: Distribution = Distribution()
    """Of attempts that succeeded or timed out."""
    ttft: Distribution = Distribution()
    tpot: Distribution = Distribution()
    in_flight_max: int = 0
    """Most that were in flight at the same time, looked at every half-second, as known when the record was made."""
    last_slot_ms: int = 0
    """Start of the newest half-second in which one of its attempts started or ended."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int = 0
    quality_n: int = 0
    quality_sum: int = 0
    satisfaction_n: int = 0
    satisfaction_sum: int = 0
    cpu_n: int = 0
    cpu_sum: int = 0
    memory_n: int = 0
    memory_sum: int = 0
    network_n: int = 0
    network_us_sum: int = 0
    queue_n: int = 0
    queue_depth_max: int = 0
    late: int = 0
    """Events that came in this window, too late for their own."""
    late_quality_n: int = 0
    late_quality_sum: int = 0
    late_satisfaction_n: int = 0
    late_satisfaction_sum: int = 0

    @property
    def key(self) -> str:
        """Of its record."""
        return f"{self.kind}/{self.id}/{self.window}/{self.start_ms}"

    @property
    def partition(self) -> int:
        """Of its record."""
        return CLOSED_WINDOWS.index(self.window)

    def encode(self) -> bytes:
        """JSON; equal records give equal bytes."""
        return _encoder.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> WindowRecord:
        """The window of a record.

        Raises DecodeError when it is none.
        """
        try:
            return _decoder.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise DecodeError(f"not a closed window: {error}") from error


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(WindowRecord)
