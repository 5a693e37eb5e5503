"""Posting to a webhook by HTTP."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from routecast.models.notification import Notification
from routecast.streams.notifications.webhook import Answer, Post

_TOLD: Final = 200
_READ: Final = 4096


@asynccontextmanager
async def poster(url: str, timeout_ms: float) -> AsyncGenerator[Post]:
    """Posts to this address, on connections that are kept. Redirections are not followed: they could tell the address to others.

    A proxy of the environment (`HTTPS_PROXY`) is used.
    """
    limit = aiohttp.ClientTimeout(total=timeout_ms / 1000.0)
    async with aiohttp.ClientSession(timeout=limit, trust_env=True, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def post(notification: Notification) -> Answer:
            headers = {"Content-Type": "application/json", "Idempotency-Key": notification.key, "User-Agent": "routecast"}
            try:
                async with session.post(url, data=notification.encode(), headers=headers, allow_redirects=False) as response:
                    return Answer(response.status, await _message(response), response.headers.get("Retry-After", ""))
            except TimeoutError:
                return Answer(0, f"no answer within {timeout_ms / 1000.0:g} s")
            except (aiohttp.ClientError, OSError) as error:
                return Answer(0, _reason(error))

        yield post


async def _message(response: aiohttp.ClientResponse) -> str:
    if 300 <= response.status < 400:
        return "it redirects to another address: write that one into the file"
    text = (await response.content.read(_READ)).decode(errors="replace")
    return "".join(c if c.isprintable() else " " for c in text)[:_TOLD].strip()


def _reason(error: Exception) -> str:
    """What is wrong with the connection, without the address, which some errors repeat."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no such host"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return f"TLS fails: {type(error.__cause__ or error).__name__}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return os.strerror(error.os_error.errno) if error.os_error.errno else type(error.os_error).__name__
    return f"the connection broke: {type(error).__name__}"
