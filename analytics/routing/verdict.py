"""What a client library returned or raised → what the attempt counts as. No client library is imported: status, code and names are read.

Status codes are looked for where httpx, requests, aiohttp, urllib and the providers' own libraries keep them. Source of the meanings: RFC
9110 and 6585; 529 is in use for `overloaded`. An error in the application's own code (a missing name, a wrong type) is nobody's fault but
its own: it is not retried and counts against no target.
"""

from __future__ import annotations

from collections.abc import Iterator

from routecast.models.attempts import Verdict
from routecast.models.events import CALLER_FAULTS

_OK = Verdict("ok")
_RESPONSE = ("status_code", "status")
_ERROR = (*_RESPONSE, "code")
_BUGS = (AttributeError, ImportError, NameError, NotImplementedError, AssertionError, TypeError, SyntaxError)
_AUTH = frozenset({401, 403, 407})
_TIMEOUTS = frozenset({408, 504, 524})
_TRY_ELSEWHERE = frozenset({409, 421, 425})
_OVERLOADED = frozenset({503, 529})
_CODES = {
    "context_length_exceeded": "context_length", "string_above_max_length": "context_length", "request_too_large": "context_length",
    "content_filter": "content_filter", "content_policy_violation": "content_filter", "responsibleaipolicyviolation": "content_filter",
    "invalid_api_key": "auth", "authentication_error": "auth", "permission_error": "auth", "invalid_request_error": "invalid_request",
    "rate_limit_error": "rate_limit", "rate_limit_exceeded": "rate_limit", "insufficient_quota": "rate_limit", "overloaded_error": "overloaded",
    "api_error": "server_error", "server_error": "server_error",
}  # fmt: skip
"""Codes in the bodies of errors, by the error type they mean."""


def of_answer(answer: object) -> Verdict:
    """What an answer counts as that `send` returned: a response with an error status has failed, anything else is a success."""
    status = _status(answer, _RESPONSE)
    return _OK if status is None or status < 400 else of_status(status, answer)


def of_error(error: BaseException) -> Verdict:
    """What an exception counts as that `send` raised."""
    status = next((found for thing in _places(error) if (found := _status(thing, _ERROR)) is not None and found >= 400), None)
    if status is not None:
        return of_status(status, error)
    named = _CODES.get(_code(error))
    if named is not None:
        return _typed(named, None)
    names = [kind.__name__ for kind in type(error).__mro__]
    if isinstance(error, TimeoutError) or any("Timeout" in name for name in names):
        return Verdict("timeout", "timeout")
    if isinstance(error, OSError) or any("Connection" in name or name in {"TransportError", "NetworkError"} for name in names):
        return Verdict("error", "connection")
    if isinstance(error, _BUGS) or not isinstance(error, Exception):
        return Verdict("error", "invalid_request", retry=False)
    return Verdict("error", "_OTHER")


def of_status(status: int, source: object = None) -> Verdict:
    """What an HTTP status from 400 on counts as; `source` is asked for the code that says more."""
    if status == 429:
        return Verdict("rate_limited", "rate_limit", status)
    if status in _TIMEOUTS:
        return Verdict("timeout", "timeout", status)
    if status >= 500:
        return Verdict("error", "overloaded" if status in _OVERLOADED else "server_error", _wire(status))
    if status in _TRY_ELSEWHERE:
        return Verdict("error", "_OTHER", status)
    if status in _AUTH:
        return Verdict("error", "auth", status, retry=False)
    named = _CODES.get(_code(source), "")
    return Verdict("error", named if named in CALLER_FAULTS else "invalid_request", status, retry=False)


def headers_of(thing: object) -> object | None:
    """The response headers that an answer or an exception carries; None where there are none."""
    for place in _places(thing):
        headers = _read(place, "headers")
        if headers is not None:
            return headers
    return None


def cause_of(verdict: Verdict, error: BaseException | None) -> str:
    """Why an attempt failed, in a few words."""
    if verdict.outcome == "ok":
        return ""
    status = f"status {verdict.http_status}" if verdict.http_status is not None else ""
    said = f"{type(error).__name__}: {error}"[:200].removesuffix(": ") if error is not None else ""
    return ", ".join(part for part in (status, said) if part) or verdict.error_type


def _typed(error_type: str, status: int | None) -> Verdict:
    if error_type == "rate_limit":
        return Verdict("rate_limited", error_type, status)
    return Verdict("error", error_type, status, retry=error_type not in CALLER_FAULTS)


def _places(thing: object) -> Iterator[object]:
    yield thing
    response = _read(thing, "response")
    if response is not None:
        yield response


def _status(thing: object, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = _read(thing, name)
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 999:
            return int(value)
    return None


def _code(thing: object) -> str:
    for name in ("code", "type"):
        value = _read(thing, name)
        if isinstance(value, str):
            return value.lower()
    return ""


def _wire(status: int) -> int | None:
    return status if status <= 599 else None


def _read(thing: object, name: str) -> object | None:
    """An attribute, or None: properties of foreign objects may raise anything."""
    try:
        found: object | None = getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - httpx raises RuntimeError for a response that an error does not have
        return None
    return found
