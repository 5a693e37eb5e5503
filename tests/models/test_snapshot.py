from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from routecast.models.errors import DecodeError
from routecast.models.snapshot import QUANTILES, RoutingSnapshot, TargetScore, decode_snapshot, encode_snapshot

RISING = tuple(float(i) for i in range(16))
FULL = TargetScore(
    id="a", state="recovering", ramp=0.1, time_s=1.5, service_s=1.25, capacity=8.0, share=0.25, in_flight=3.0, in_flight_mean=2.5,
    oldest_open_ms=1500.0, cost_s=1.75, success=0.9, fail_s=2.0, quality=0.8, quality_n=3.0, usd=0.001, headroom=0.5, weight=2.0, score=0.7, load=0.6,
    history=0.5, real_time=0.4, n=120.0, ttft_ms=RISING, tpot_ms=RISING,
)  # fmt: skip
BARE = TargetScore(
    id="b", time_s=1.0, service_s=1.0, capacity=4.0, share=0.0, in_flight=0.0, in_flight_mean=0.0, cost_s=1.0, success=0.5, fail_s=1.0, quality=0.8
)
SNAPSHOT = RoutingSnapshot(
    service="chat", term=2, seq=7, at_ms=1_700_000_000_000.0, period_ms=1000.0, rate_per_s=12.5, routers=3, t_ref_s=1.25, output_tokens=150.0,
    input_tokens=550.0, targets=(FULL, BARE),
)  # fmt: skip


def _changed(**fields: Any) -> bytes:
    """The record with other figures, of the snapshot or (with `target_` before them) of its first target."""
    record = json.loads(encode_snapshot(SNAPSHOT))
    for name, value in fields.items():
        if name.startswith("target_"):
            record["targets"][0][name.removeprefix("target_")] = value
        else:
            record[name] = value
    return json.dumps(record).encode()


def test_what_is_written_is_what_is_read() -> None:
    """With every figure, and with none that may be left out."""
    assert decode_snapshot(encode_snapshot(SNAPSHOT)) == SNAPSHOT
    assert encode_snapshot(decode_snapshot(encode_snapshot(SNAPSHOT))) == encode_snapshot(SNAPSHOT)


def test_snapshots_are_ordered_by_term_then_sequence() -> None:
    """A new leader comes after everything of its predecessor."""
    later = msgspec.structs.replace(SNAPSHOT, term=3, seq=1)
    assert (SNAPSHOT.version, later.version) == ((2, 7), (3, 1))
    assert later.version > SNAPSHOT.version


def test_quantiles_are_midpoints_of_sixteen_equal_parts() -> None:
    """Each stands for one sixteenth of the requests."""
    assert len(QUANTILES) == 16
    assert QUANTILES[0] == 1 / 32
    assert {round(b - a, 12) for a, b in pairwise(QUANTILES)} == {0.0625}


def test_twenty_targets_fit_sixteen_kilobytes() -> None:
    """With all quantiles, at realistic lengths of figures and names."""
    quantiles = tuple(1234.0 + i for i in range(16))
    target = msgspec.structs.replace(FULL, id="openai-gpt4o-eastus-00", cost_s=1.23456, time_s=1.23456, ttft_ms=quantiles, tpot_ms=quantiles)
    assert len(encode_snapshot(msgspec.structs.replace(SNAPSHOT, targets=(target,) * 20))) <= 16_000


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", b"not json", b'{"service":"chat"}', b"\xff", b"[" * 100_000], ids=lambda d: repr(d[:20]))
def test_bytes_that_are_no_snapshot_are_refused(data: bytes) -> None:
    """As an error that routers know, whatever the bytes."""
    with pytest.raises(DecodeError):
        decode_snapshot(data)


POSITIVE = ("time_s", "service_s", "capacity", "cost_s")
RATIOS = ("ramp", "share", "success", "quality", "headroom", "score", "load", "history", "real_time")
OTHERS = ("in_flight", "in_flight_mean", "oldest_open_ms", "fail_s", "quality_n", "usd", "weight", "n")
WRONG: list[tuple[str, list[Any]]] = [
    *((f"target_{name}", [0, -1, 1e-10, 1e9]) for name in POSITIVE),
    *((f"target_{name}", [-0.01, 1.01]) for name in RATIOS),
    *((f"target_{name}", [-1, 1e9]) for name in OTHERS),
    *((f"target_{name}", [[1.0], list(RISING[::-1]), [-1.0, *RISING[1:]], [*RISING, 16.0], [*RISING[:-1], 1e8]]) for name in ("ttft_ms", "tpot_ms")),
    ("target_spread", [-0.1, 10.1]),
    ("target_state", ["broken", None]),
    ("target_id", [5, None]),
    ("period_ms", [0, -1, 3.6e6 + 1]),
    ("at_ms", [-1, 1e15]),
    *((name, [-1, 1e9]) for name in ("rate_per_s", "t_ref_s", "output_tokens", "input_tokens")),
    ("routers", [-1, 1.5]),
    ("service", [None]),
]


@pytest.mark.parametrize(("name", "values"), WRONG, ids=[name for name, _ in WRONG])
def test_figures_out_of_range_are_refused(name: str, values: list[Any]) -> None:
    """A router multiplies and divides by them: nothing outside its range gets that far."""
    for value in values:
        with pytest.raises(DecodeError):
            decode_snapshot(_changed(**{name: value}))


@pytest.mark.parametrize("name", [*POSITIVE, *RATIOS, *OTHERS, "spread"])
def test_every_figure_of_a_target_is_bounded(name: str) -> None:
    """What is not finite in JSON, or beyond all bounds, is refused."""
    for text in ("1e400", "NaN", "Infinity", "1e300"):
        with pytest.raises(DecodeError):
            decode_snapshot(_changed(**{f"target_{name}": "HERE"}).replace(b'"HERE"', text.encode()))


def test_the_error_names_service_and_target() -> None:
    """For whoever has to find out which leader wrote it."""
    with pytest.raises(DecodeError, match="'chat': target 'a'"):
        decode_snapshot(_changed(target_capacity=0))
    with pytest.raises(DecodeError, match="quantiles of 'a'"):
        decode_snapshot(_changed(target_ttft_ms=[1.0]))


def test_more_targets_than_a_router_may_hold_are_refused() -> None:
    """Memory is bounded, whatever is published."""
    with pytest.raises(DecodeError, match="more than 10000"):
        decode_snapshot(encode_snapshot(msgspec.structs.replace(SNAPSHOT, targets=(BARE,) * 10_001)))


def test_fields_of_a_later_version_are_ignored() -> None:
    """A router older than its leader goes on."""
    assert decode_snapshot(_changed(colour="red", target_colour="red")) == SNAPSHOT
