"""Topic `routecast.ticks`: claims of leaders, and what went into the snapshots of each moment, so that they can be computed again."""

from __future__ import annotations

import msgspec

from routecast.models.errors import DecodeError


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A moment at which the leader took in what was new."""

    at_ms: float
    offsets: dict[int, int]
    """Per partition of `routecast.events`, the last offset the merged rows contained."""


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """From what a leader began."""

    look: Look
    resumed: tuple[int, int] | None
    """(term, seq) of the checkpoint it continued; None where it began with what the kept panes told."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, tag="claim", omit_defaults=True):
    """A worker takes over as leader; the offset of this record is its term."""

    at_ms: float
    worker: str
    """`host-pid`."""
    config_version: str
    version: str = ""
    """Of routecast; empty where it did not say so yet."""


class TickRecord(msgspec.Struct, frozen=True, kw_only=True, tag="tick", omit_defaults=True):
    """Logged before the snapshots are published."""

    term: int
    """Offset of the claim the leader wrote when it took over."""
    seq: int
    at_ms: float
    offsets: dict[int, int]
    """Per partition of `routecast.events`, the last offset the merged rows contain."""
    routers: int
    """Routers that gave a sign of life in the last 30 s."""
    config_version: str
    sha256: dict[str, str]
    """Of each service's snapshot record."""
    looks: tuple[Look, ...] = ()
    """Looks since the last tick, this tick's own apart: what a snapshot says depends on when what was seen."""
    control: int = -1
    """Last offset of `routecast.control` that had been applied."""
    trips: int = -1
    """Last offset of `routecast.trips` that had been applied."""
    began: Beginning | None = None
    """In the first tick of a term."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Claim | TickRecord)


def encode_tick(record: Claim | TickRecord) -> bytes:
    """JSON of a record; equal ones, their maps in equal order, give equal bytes."""
    return _encoder.encode(record)


def decode_tick(data: bytes) -> Claim | TickRecord:
    """The claim or tick of a record.

    Raises DecodeError when it is neither.
    """
    try:
        record: Claim | TickRecord = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DecodeError(f"neither claim nor tick: {error}") from error
    return record
