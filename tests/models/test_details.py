"""The details record: what is written is what is read, and what is not known is not written."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from routecast.models.details import Details, Duration, Judgement, OutcomesTotal, Resources, SubjectDetails, WindowDetails
from routecast.models.errors import DecodeError

EMPTY = WindowDetails(start_ms=0.0, end_ms=10_000.0)
FULL = WindowDetails(
    start_ms=0.0, end_ms=10_000.0, last_update_ms=9_500.0, requests=4, requests_per_min=24.0, judged=3, success_ratio=0.5, error_ratio=0.25,
    timeout_ratio=0.125, rate_limit_ratio=0.125, ttft=Duration(n=2, mean_ms=1.5, p99_ms=2.0, p95_low_ms=1.0), tokens_per_min=7.5, cost_usd=0.01,
    quality=Judgement(n=1, mean=0.5), resources=Resources(cpu_ratio=0.5, queue_depth=0),
)  # fmt: skip
RECORD = Details(
    service="chat",
    term=3,
    seq=7,
    at_ms=10_500.0,
    targets=(SubjectDetails(id="a", provider="p", model="m", service="chat", requests_total=4, in_flight=2, windows={"10s": FULL, "24h": EMPTY}),),
    providers=(SubjectDetails(id="p", provider="p", outcomes_total=OutcomesTotal(ok=3, lost=1)),),
    system=SubjectDetails(id="system"),
)


def test_what_is_written_is_what_is_read() -> None:
    """A record survives the wire, with every figure it has."""
    assert Details.decode(RECORD.encode()) == RECORD


def test_figures_without_evidence_are_not_written() -> None:
    """No evidence is neither zero nor null on the wire: the field is absent."""
    window = json.loads(RECORD.encode())["targets"][0]["windows"]["24h"]
    assert window == {
        "start_ms": 0.0, "end_ms": 10_000.0, "requests": 0, "requests_per_min": 0.0, "judged": 0, "latency": {"n": 0}, "ttft": {"n": 0},
        "tpot": {"n": 0}, "tokens_per_min": 0.0, "input_tokens": 0, "output_tokens": 0,
        "cost_usd": 0.0, "quality": {"n": 0}, "satisfaction": {"n": 0}, "resources": {},
    }  # fmt: skip


def test_fields_of_a_later_version_are_ignored() -> None:
    """A reader that is older than the writer still reads what it knows."""
    assert Details.decode(RECORD.encode().replace(b'"term":3', b'"term":3,"trend":{"x":1}')) == RECORD


def test_record_does_not_change() -> None:
    """Readers may share one record: nothing in it can be assigned."""
    with pytest.raises(ValidationError, match="frozen"):
        RECORD.seq = 8


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (b"", "Invalid JSON"),
        (b"[]", "valid dictionary|object"),
        (RECORD.encode().replace(b'"service":"chat","term"', b'"term"'), "service"),
        (RECORD.encode().replace(b'"success_ratio":0.5', b'"success_ratio":1.5'), "success_ratio"),
        (RECORD.encode().replace(b'"10s":', b'"10min":'), "10min"),
        (RECORD.encode().replace(b'"in_flight":2', b'"in_flight":-2'), "in_flight"),
    ],
)
def test_record_that_is_wrong_is_refused_and_says_where(wrong: bytes, named: str) -> None:
    """Bytes that are no record, a missing field and a figure out of range are decode errors that name the place."""
    with pytest.raises(DecodeError, match=named):
        Details.decode(wrong)
