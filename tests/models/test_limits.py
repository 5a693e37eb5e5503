"""Headers of rate limits: each family read as it is sent, and nothing believed that cannot be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.models.events import Limits
from routecast.models.limits import LONGEST_MS, MOST, NOTHING, ProviderLimits, Quota, plain_number, read_limits, until_ms

NOW_MS = 1_700_000_000_000.0
"""2023-11-14 22:13:20 UTC."""

OPENAI = {
    "x-ratelimit-limit-requests": "5000", "x-ratelimit-remaining-requests": "4999", "x-ratelimit-reset-requests": "12ms",
    "x-ratelimit-limit-tokens": "160000", "x-ratelimit-remaining-tokens": "40000", "x-ratelimit-reset-tokens": "6m0s",
}  # fmt: skip
AZURE = {"x-ratelimit-remaining-requests": "7", "x-ratelimit-remaining-tokens": "0", "Retry-After": "26", "retry-after-ms": "25480"}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "1000", "anthropic-ratelimit-requests-remaining": "999", "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:21Z",
    "anthropic-ratelimit-tokens-limit": "90000", "anthropic-ratelimit-tokens-remaining": "81000", "anthropic-ratelimit-tokens-reset": "2023-11-14T22:13:26Z",
    "anthropic-ratelimit-input-tokens-limit": "80000", "anthropic-ratelimit-input-tokens-remaining": "80000",
    "anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:13:20Z", "anthropic-ratelimit-output-tokens-limit": "10000",
    "anthropic-ratelimit-output-tokens-remaining": "1000", "anthropic-ratelimit-output-tokens-reset": "2023-11-14T23:14:14+01:00",
}  # fmt: skip
GROQ = {
    "x-ratelimit-limit-requests": "14400", "x-ratelimit-remaining-requests": "14370", "x-ratelimit-reset-requests": "2m59.56s",
    "x-ratelimit-limit-tokens": "18000", "x-ratelimit-remaining-tokens": "17997", "x-ratelimit-reset-tokens": "7.66s", "retry-after": "2",
}  # fmt: skip
CASES: list[tuple[str, Any, ProviderLimits]] = [
    ("openai", OPENAI, ProviderLimits(Quota(4999, 5000, 12), Quota(40_000, 160_000, 360_000))),
    ("azure", AZURE, ProviderLimits(Quota(7), Quota(0), 25_480)),
    ("anthropic", ANTHROPIC, ProviderLimits(Quota(999, 1000, 1000), Quota(1000, 10_000, 54_000))),
    ("anthropic, skewed", ANTHROPIC | {"Date": "Tue, 14 Nov 2023 22:13:11 GMT"}, ProviderLimits(Quota(999, 1000, 10_000), Quota(1000, 10_000, 63_000))),
    ("groq", GROQ, ProviderLimits(Quota(14_370, 14_400, 179_560), Quota(17_997, 18_000, 7_660), 2000)),
    ("generic", {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000030"},
     ProviderLimits(Quota(0, 60, 30_000, even=False))),
    ("ietf fields", {"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "50", "RateLimit-Reset": "30"},
     ProviderLimits(Quota(50, 100, 30_000, even=False))),
    ("ietf field", {"RateLimit": "limit=100, remaining=50, reset=30"}, ProviderLimits(Quota(50, 100, 30_000, even=False))),
    ("ietf list", {"RateLimit-Policy": '"burst";q=100;w=60,"daily";q=1000;w=86400', "RateLimit": '"burst";r=90;t=30, "daily";r=100;t=3600'},
     ProviderLimits(Quota(100, 1000, 3_600_000, even=False))),
    ("http date", {"Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT", "Date": "Tue, 14 Nov 2023 22:13:20 GMT"}, ProviderLimits(None, None, 30_000)),
    ("http date, skewed", {"Retry-After": "Tue, 14 Nov 2023 20:00:30 GMT", "Date": "Tue, 14 Nov 2023 20:00:00 GMT"}, ProviderLimits(None, None, 30_000)),
    ("decimal", {"retry-after": "0.5"}, ProviderLimits(None, None, 500)),
    ("pairs of bytes", [(b"Retry-After", b"3"), (b"Server", b"x")], ProviderLimits(None, None, 3000)),
    ("garbage", {"retry-after": "soon", "x-ratelimit-remaining-requests": "many", "ratelimit": ';;=,"', "x-ratelimit-reset": "NaN", "date": "today"}, NOTHING),
    ("below zero", {"x-ratelimit-remaining-requests": "-3", "x-ratelimit-limit-requests": "-1", "retry-after": "-5"}, ProviderLimits(Quota(0))),
    ("too much", {"x-ratelimit-remaining-tokens": "9" * 17, "retry-after": "99999999"}, ProviderLimits(None, Quota(MOST), LONGEST_MS)),
    ("more left than there is", {"x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": "12"}, ProviderLimits(Quota(10, 10))),
    ("nothing", None, NOTHING),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_headers_of_each_family_are_read(headers: Any, expected: ProviderLimits) -> None:
    """In any case, as a mapping or as pairs, against the provider's own clock where it tells its time."""
    assert read_limits(headers, NOW_MS) == expected


def test_what_is_reported_names_both_limits_and_the_reset_of_the_scarcer() -> None:
    """A quarter of the tokens is scarcer than nearly all requests."""
    assert read_limits(OPENAI, NOW_MS).limits == Limits(remaining_requests=4999, remaining_tokens=40_000, reset_ms=360_000)
    assert NOTHING.limits is None


@pytest.mark.parametrize(
    ("text", "ms"),
    [("1s", 1000), ("120ms", 120), ("1h2m3.5s", 3_723_500), ("2d", LONGEST_MS), ("15µs", 0.015), ("m", None), ("", None), ("1700000001500", 1500)],
)
def test_durations_and_points_in_time_are_read(text: str, ms: float | None) -> None:
    """A day at the most; None for what is neither."""
    assert until_ms(text, NOW_MS) == (None if ms is None else pytest.approx(ms))


NAMES = st.sampled_from([*OPENAI, *AZURE, *ANTHROPIC, "retry-after", "ratelimit", "ratelimit-policy", "x-ratelimit-reset", "date", "ratelimit-remaining"])
VALUES = st.one_of(
    st.text(max_size=40), st.binary(max_size=40), st.integers(), st.floats(), st.none(), st.text(alphabet='0123456789.;,="-rtqhms:TZ+ ', max_size=40),
    st.from_regex(r"\d{1,30}(s|ms|m|h|d)?", fullmatch=True), st.datetimes().map(str),
)  # fmt: skip


@given(st.one_of(st.dictionaries(NAMES, VALUES), st.lists(st.tuples(st.one_of(NAMES, VALUES), VALUES)), VALUES), st.floats(0, 1e14))
def test_whatever_is_sent_stays_within_its_range(headers: Any, now_ms: float) -> None:
    """Nothing raises, and every figure is finite, at least 0 and bounded."""
    said = read_limits(headers, now_ms)
    assert said.retry_after_ms is None or 0 <= said.retry_after_ms <= LONGEST_MS
    for quota in (said.requests, said.tokens):
        if quota is not None:
            assert 0 <= quota.remaining <= MOST
            assert quota.limit is None or quota.remaining <= quota.limit <= MOST
            assert quota.reset_ms is None or 0 <= quota.reset_ms <= LONGEST_MS


@pytest.mark.parametrize(
    ("noted", "number"),
    [
        (5, 5.0),
        (np.float32(0.5), 0.5),
        (10**400, MOST),
        (True, 1.0),
        (-1, None),
        (math.nan, None),
        (math.inf, MOST),
        ("5", None),
        (None, None),
        (object(), None),
    ],
)
def test_what_applications_note_is_a_number_or_nothing(noted: object, number: float | None) -> None:
    """From 0 to 1e8, whatever they hand in."""
    assert plain_number(noted) == number
