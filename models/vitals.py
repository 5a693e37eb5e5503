"""What a worker says of itself every ten seconds, on the topic of vitals. The sink stores it; `/metrics` says the same, and more, to Prometheus."""

from __future__ import annotations

import msgspec

from routecast.models.errors import DecodeError
from routecast.models.wire import EpochMs, Text


class Vitals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A worker since its last record."""

    at_ms: EpochMs
    """At whole ten seconds."""
    instance: Text
    """Host and process."""
    lag: int
    """Records of its partitions that are not folded yet."""
    dead_letters: int
    """What it could not use since it started."""
    events_per_s: float
    """Events folded."""
    flush_ms: float | None = None
    """Mean time of writing rows; None where none were written."""
    memory_mb: float
    """Resident memory, MB."""
    tick_ms: float | None = None
    """Mean time of a tick; None where it does not lead."""


_decoder = msgspec.json.Decoder(Vitals)


def encode_vitals(vitals: Vitals) -> bytes:
    """JSON."""
    return msgspec.json.encode(vitals)


def decode_vitals(data: bytes) -> Vitals:
    """Raises DecodeError when it is none."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DecodeError(f"not a worker's vitals: {error}") from error
