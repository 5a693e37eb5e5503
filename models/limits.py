"""Rate limits as providers tell them in the headers of their answers: what is left, of how much, and when there is more.

Families: OpenAI, Azure OpenAI and Groq (`x-ratelimit-remaining-requests`, resets such as `6m0s` or `120ms`), Anthropic
(`anthropic-ratelimit-tokens-remaining`, resets as RFC 3339 times), generic `x-ratelimit-*`, the IETF drafts `ratelimit-*` and `ratelimit`, and
`retry-after` (RFC 9110: seconds or a date) with `retry-after-ms`. Headers come from outside: what cannot be read is passed over, what can
is bounded, and times are read against the provider's own `date`, so that no clock has to be right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from numbers import Real
from typing import Any, NamedTuple

from routecast.models.events import Limits

LONGEST_MS = 864e5
"""Times further away than a day are a day away."""
MOST = 1e8
"""Larger counts are this."""
_MOST_HEADERS = 1000
_LONGEST_VALUE = 512
_EPOCH_S, _EPOCH_MS = 1e9, 1e12
"""Plain numbers from here on are points in time, in seconds and in milliseconds."""

_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,9})?")
_COUNT = re.compile(r"(-?\d{1,18}(?:\.\d{1,9})?)\s*(?:[,;]|$)")
_DURATION = re.compile(r"(?:\d{1,12}(?:\.\d{1,9})?(?:ns|us|µs|ms|s|m|h|d))+")
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
_UNIT_MS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6, "d": 864e5}
_ABOUT = re.compile(r"ratelimit|^retry-after|^date$")
_MEMBER = re.compile(r'\s*(?:"(?P<name>[^"]*)"|(?P<bare>[^;=\s]+))?\s*(?P<rest>.*)')
_PARAMETER = re.compile(r"\b(limit|remaining|reset|r|t|q)\s*=\s*(-?\d{1,18}(?:\.\d{1,9})?)")


def plain_number(value: object) -> float | None:
    """What an application noted, as a number from 0 to 1e8; None where it is none: nothing it says may break a call."""
    if value is None or not isinstance(value, Real):
        return None
    number: Any = value  # type checkers do not know that real numbers compare
    return float(min(MOST, number)) if number >= 0 else None


class Quota(NamedTuple):
    """One limit, of requests or of tokens, for everybody who uses the key."""

    remaining: float
    """What is left, 0 to 1e8."""
    limit: float | None = None
    """What there is when it is full, above 0 to 1e8."""
    reset_ms: float | None = None
    """Until it is full again, 0 to a day."""
    even: bool = True
    """Whether it fills evenly until then, as a token bucket does; False: at once, as a window does."""

    @property
    def left(self) -> float:
        """How scarce it is: the free part where the limit is known, else what is left."""
        return self.remaining / self.limit if self.limit else self.remaining


class ProviderLimits(NamedTuple):
    """All that the headers of one answer say of rate limits."""

    requests: Quota | None = None
    tokens: Quota | None = None
    retry_after_ms: float | None = None
    """How long to stay away, 0 to a day."""

    @property
    def limits(self) -> Limits | None:
        """What is reported with the request; the reset is that of the scarcer limit."""
        quotas = [quota for quota in (self.requests, self.tokens) if quota is not None]
        if not quotas:
            return None
        return Limits(
            remaining_requests=int(self.requests.remaining) if self.requests else None,
            remaining_tokens=int(self.tokens.remaining) if self.tokens else None,
            reset_ms=min(quotas, key=lambda quota: quota.left).reset_ms,
        )


NOTHING = ProviderLimits()

_OPENAI = "x-ratelimit-limit-{0} x-ratelimit-remaining-{0} x-ratelimit-reset-{0}"
_ANTHROPIC = "anthropic-ratelimit-{0}-limit anthropic-ratelimit-{0}-remaining anthropic-ratelimit-{0}-reset"
_EVEN_REQUESTS = tuple(form.format("requests").split() for form in (_OPENAI, _ANTHROPIC))
_EVEN_TOKENS = (_OPENAI.format("tokens").split(), *(_ANTHROPIC.format(kind).split() for kind in ("tokens", "input-tokens", "output-tokens")))
_WINDOWS = (("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"), ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"))


def read_limits(headers: object, now_ms: float) -> ProviderLimits:
    """What headers say of rate limits; where several limits are told, the scarcest of requests and of tokens.

    `headers`: a mapping, anything with `items()`, or pairs; names in any case, texts or bytes. `now_ms` (epoch ms) stands in for a missing
    `date`. Never raises; all figures are within their ranges.
    """
    known = dict(_texts(headers))
    if not known:
        return NOTHING
    clock_ms = _date_ms(known.get("date", ""))
    at_ms = now_ms if clock_ms is None else clock_ms
    requests = [*_quotas(known, _EVEN_REQUESTS, at_ms, even=True), *_quotas(known, _WINDOWS, at_ms, even=False), *_drafted(known, at_ms)]
    tokens = _quotas(known, _EVEN_TOKENS, at_ms, even=True)
    return ProviderLimits(_scarcest(requests), _scarcest(tokens), _retry_after_ms(known, at_ms))


def _texts(headers: object) -> Iterator[tuple[str, str]]:
    """Names in lower case and values, as far as they are that."""
    items = getattr(headers, "items", None)
    pairs = items() if callable(items) else headers
    if not isinstance(pairs, Iterable):
        return
    for _, pair in zip(range(_MOST_HEADERS), pairs, strict=False):
        if isinstance(pair, tuple | list) and len(pair) == 2:
            name = _text(pair[0]).lower()
            value = _text(pair[1]) if _ABOUT.search(name) else ""
            if value:
                yield name, value


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return value[:_LONGEST_VALUE].decode("latin-1").strip()
    if isinstance(value, str):
        return value[:_LONGEST_VALUE].strip()
    return str(value) if isinstance(value, float) or (isinstance(value, int) and abs(value) <= MOST) else ""


def _scarcest(quotas: Iterable[Quota]) -> Quota | None:
    return min(quotas, key=lambda quota: quota.left, default=None)


def _quotas(known: Mapping[str, str], names: Iterable[Iterable[str]], at_ms: float, *, even: bool) -> list[Quota]:
    found = [(known.get(limit, ""), known.get(remaining, ""), known.get(reset, "")) for limit, remaining, reset in names]
    quotas = [_quota(_count(limit), _count(remaining), until_ms(reset, at_ms), even=even) for limit, remaining, reset in found if remaining]
    return [quota for quota in quotas if quota is not None]


def _quota(limit: float | None, remaining: float | None, reset_ms: float | None, *, even: bool) -> Quota | None:
    if remaining is None:
        return None
    if limit is None or limit <= 0:
        return Quota(remaining, None, reset_ms, even)
    return Quota(min(remaining, limit), limit, reset_ms, even)


def _count(text: str) -> float | None:
    """A number from 0 to 1e8 at the beginning of a text (`100, 100;w=60`); below 0 it is 0."""
    found = _COUNT.match(text)
    return None if found is None else min(MOST, max(0.0, float(found[1])))


def _drafted(known: Mapping[str, str], at_ms: float) -> list[Quota]:
    """The field `ratelimit`: `limit=100, remaining=50, reset=30`, or `"name";r=50;t=30` with its limit in `ratelimit-policy`."""
    field = known.get("ratelimit", "")
    if "remaining" in field:
        quotas = [_drafted_quota(dict(_PARAMETER.findall(field)), None, at_ms)]
    else:
        policies = {name: parameters.get("q") for name, parameters in _members(known.get("ratelimit-policy", ""))}
        quotas = [_drafted_quota(parameters, policies.get(name), at_ms) for name, parameters in _members(field)]
    return [quota for quota in quotas if quota is not None]


def _drafted_quota(parameters: Mapping[str, str], limit: str | None, at_ms: float) -> Quota | None:
    remaining, reset = (parameters.get(long, parameters.get(short, "")) for long, short in (("remaining", "r"), ("reset", "t")))
    return _quota(_count(parameters.get("limit", limit or "")), _count(remaining), until_ms(reset, at_ms), even=False)


def _members(field: str) -> Iterator[tuple[str, dict[str, str]]]:
    for member in field.split(","):
        found = _MEMBER.fullmatch(member)
        if found is not None:
            yield found["name"] or found["bare"] or "", dict(_PARAMETER.findall(found["rest"]))


def _retry_after_ms(known: Mapping[str, str], at_ms: float) -> float | None:
    exact = _NUMBER.fullmatch(known.get("retry-after-ms", ""))
    if exact is not None and float(exact.group()) >= 0:
        return min(LONGEST_MS, float(exact.group()))
    return until_ms(known.get("retry-after", ""), at_ms)


def until_ms(text: str, at_ms: float) -> float | None:
    """Time from `at_ms` (epoch ms) until what a header names: seconds, a duration (`6m0s`), a point in time. 0 to a day; None: unreadable."""
    if _NUMBER.fullmatch(text):
        value = float(text)
        if value < 0:
            return None
        wait_ms = value - at_ms if value >= _EPOCH_MS else value * 1000.0 - (at_ms if value >= _EPOCH_S else 0.0)
    elif _DURATION.fullmatch(text):
        wait_ms = sum(float(number) * _UNIT_MS[unit] for number, unit in _PIECE.findall(text))
    else:
        date_ms = _date_ms(text)
        if date_ms is None:
            return None
        wait_ms = date_ms - at_ms
    return min(LONGEST_MS, max(0.0, wait_ms))


def _date_ms(text: str) -> float | None:
    """Epoch ms of an HTTP date or an RFC 3339 time; without a zone it is UTC."""
    if not text:
        return None
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            when = parse(text)
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000.0
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None
