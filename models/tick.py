"""The tick (topic `routecast.ticks`): what went into the snapshots of one moment, so that they can be computed again."""

from __future__ import annotations

import msgspec

from routecast.models.errors import DecodeError


class TickRecord(msgspec.Struct, frozen=True, kw_only=True):
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


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(TickRecord)


def encode_tick(tick: TickRecord) -> bytes:
    """JSON of a tick; equal ticks, their maps in equal order, give equal bytes."""
    return _encoder.encode(tick)


def decode_tick(data: bytes) -> TickRecord:
    """The tick of a record.

    Raises DecodeError when it is none.
    """
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise DecodeError(f"not a tick: {error}") from error
