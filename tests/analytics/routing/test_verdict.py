from __future__ import annotations

import urllib.error
from email.message import Message
from typing import Any

import aiohttp
import pytest

from routecast.analytics.routing.verdict import cause_of, headers_of, of_answer, of_error, of_status
from routecast.models.attempts import Verdict


class Response:
    """The shape of a response of httpx or requests."""

    def __init__(self, status_code: int, headers: dict[str, str] | None = None) -> None:
        self.status_code = status_code
        self.headers = headers or {}


class StatusError(Exception):
    """The shape of an error that carries its response, and the code of its body."""

    def __init__(self, status: int, code: str | None = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"status {status}")
        self.response = Response(status, headers)
        self.code = code


class TransportError(Exception):
    """The shape of httpx's family of network errors."""


class ReadError(TransportError):
    """One of them."""


class ReadTimeout(TransportError):  # noqa: N818 - their name
    """A timeout of the same family."""


class WithoutResponse(Exception):  # noqa: N818 - says what it is
    """httpx raises where a response is asked for that an error does not have."""

    @property
    def response(self) -> Response:  # noqa: D102 - as theirs
        raise RuntimeError("not set")


STATUSES: list[tuple[int, Verdict]] = [
    (400, Verdict("error", "invalid_request", 400, retry=False)),
    (401, Verdict("error", "auth", 401, retry=False)),
    (403, Verdict("error", "auth", 403, retry=False)),
    (404, Verdict("error", "invalid_request", 404, retry=False)),
    (408, Verdict("timeout", "timeout", 408)),
    (409, Verdict("error", "_OTHER", 409)),
    (413, Verdict("error", "invalid_request", 413, retry=False)),
    (422, Verdict("error", "invalid_request", 422, retry=False)),
    (429, Verdict("rate_limited", "rate_limit", 429)),
    (500, Verdict("error", "server_error", 500)),
    (502, Verdict("error", "server_error", 502)),
    (503, Verdict("error", "overloaded", 503)),
    (504, Verdict("timeout", "timeout", 504)),
    (529, Verdict("error", "overloaded", 529)),
    (999, Verdict("error", "server_error", None)),
]


@pytest.mark.parametrize(("status", "verdict"), STATUSES)
def test_a_status_means_the_same_whether_it_is_returned_or_raised(status: int, verdict: Verdict) -> None:
    """The caller's own faults are never retried, everything else may be."""
    assert of_status(status) == of_answer(Response(status)) == of_error(StatusError(status)) == verdict


@pytest.mark.parametrize("answer", ["text", None, Response(200), Response(304), {"status_code": 500}, object()])
def test_anything_without_an_error_status_is_an_answer(answer: object) -> None:
    """Texts, models, responses below 400."""
    assert of_answer(answer) == Verdict("ok")


ERRORS: list[tuple[BaseException, Verdict]] = [
    (TimeoutError(), Verdict("timeout", "timeout")),
    (ReadTimeout(), Verdict("timeout", "timeout")),
    (ConnectionResetError(), Verdict("error", "connection")),
    (OSError("no route"), Verdict("error", "connection")),
    (ReadError(), Verdict("error", "connection")),
    (aiohttp.ServerDisconnectedError(), Verdict("error", "connection")),
    (aiohttp.ClientResponseError(None, (), status=503), Verdict("error", "overloaded", 503)),  # type: ignore[arg-type]
    (urllib.error.HTTPError("http://x", 429, "slow down", Message(), None), Verdict("rate_limited", "rate_limit", 429)),
    (StatusError(400, "context_length_exceeded"), Verdict("error", "context_length", 400, retry=False)),
    (StatusError(400, "content_filter"), Verdict("error", "content_filter", 400, retry=False)),
    (StatusError(400, "rate_limit_exceeded"), Verdict("error", "invalid_request", 400, retry=False)),
    (StatusError(200, "overloaded_error"), Verdict("error", "overloaded")),
    (StatusError(200, "rate_limit_error"), Verdict("rate_limited", "rate_limit")),
    (StatusError(200, "content_filter"), Verdict("error", "content_filter", retry=False)),
    (WithoutResponse(), Verdict("error", "_OTHER")),
    (ValueError("not JSON"), Verdict("error", "_OTHER")),
    (KeyError("choices"), Verdict("error", "_OTHER")),
    (TypeError("send() takes 1 argument"), Verdict("error", "invalid_request", retry=False)),
    (AttributeError("x"), Verdict("error", "invalid_request", retry=False)),
]


@pytest.mark.parametrize(("error", "verdict"), ERRORS, ids=lambda value: repr(value)[:40])
def test_an_exception_is_read_without_its_library(error: BaseException, verdict: Verdict) -> None:
    """By status, then by the code of the body, then by its kind; errors of the application's own code are not retried."""
    assert of_error(error) == verdict


@pytest.mark.parametrize("thing", [Response(429, {"retry-after": "7"}), StatusError(429, headers={"retry-after": "7"})])
def test_headers_are_found_on_answers_and_errors(thing: Any) -> None:
    """On the thing itself or on its response."""
    assert headers_of(thing) == {"retry-after": "7"}


def test_what_has_no_headers_has_none() -> None:
    """Even where asking raises."""
    assert headers_of(WithoutResponse()) is None
    assert headers_of("text") is None


def test_a_cause_is_short_and_says_status_and_error() -> None:
    """Nothing for a success; the kind where there is neither status nor exception."""
    assert cause_of(Verdict("ok"), None) == ""
    assert cause_of(Verdict("error", "server_error", 503), StatusError(503)) == "status 503, StatusError: status 503"
    assert cause_of(Verdict("error", "connection"), ConnectionError("x" * 1000)).startswith("ConnectionError: xxx")
    assert len(cause_of(Verdict("error", "connection"), ConnectionError("x" * 1000))) == 200
    assert cause_of(Verdict("error", "overloaded"), None) == "overloaded"
    assert cause_of(Verdict("timeout", "timeout"), TimeoutError()) == "TimeoutError"
