from __future__ import annotations

import pytest

from routecast.models.errors import DecodeError
from routecast.models.tick import TickRecord, decode_tick, encode_tick

TICK = TickRecord(term=4, seq=9, at_ms=1.5e12, offsets={0: 17, 3: 5}, routers=2, config_version="abc", sha256={"chat": "00ff", "mail": "11ee"})


def test_what_is_written_is_what_is_read() -> None:
    """Partitions are numbers again, not texts."""
    assert decode_tick(encode_tick(TICK)) == TICK


def test_equal_ticks_give_equal_bytes() -> None:
    """They can be compared by their records."""
    assert encode_tick(decode_tick(encode_tick(TICK))) == encode_tick(TICK)


@pytest.mark.parametrize("data", [b"", b"null", b"{}", b"[" * 100_000, encode_tick(TICK).replace(b'"routers":2,', b"")], ids=lambda d: repr(d[:20]))
def test_bytes_that_are_no_tick_are_refused(data: bytes) -> None:
    """All fields are needed to compute a snapshot again."""
    with pytest.raises(DecodeError, match="neither claim nor tick"):
        decode_tick(data)
