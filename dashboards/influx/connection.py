"""One connection to InfluxDB for writing: a request at a time, kept open, compressed.

Blocking, for a thread of its own. Whatever happens on the way becomes an answer; only the token's file can be missing (ConfigError).
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlencode, urlsplit

from routecast.dashboards.influx.delivery import Answer
from routecast.dashboards.influx.line_protocol import Destination, Line
from routecast.dashboards.influx.schema import Bucket
from routecast.models.config import Influx
from routecast.models.errors import ConfigError

TIMEOUT_S: Final = 30.0
"""Longest silence of the server within a request."""
_LEVEL: Final = 1
"""Of gzip: more would cost more than it saves on a local network."""
_MOST_ANSWER: Final = 16 * 1024 * 1024
_BY_COMMAND: Final = "`routecast influx init --save` stores one there, with --renew if one was made before"
_FROM_THE_SERVER: Final = "the set-up of InfluxDB shows an administrator's, and its page API Tokens makes others: put one there"
"""What makes buckets and tokens cannot make its own."""


class Connection:
    """A connection that writes with one token.

    Args:
        settings: address, organisation and names of buckets.
        token: what the server knows us by.
        timeout_s: longest silence within a request.
    """

    def __init__(self, settings: Influx, token: str, *, timeout_s: float = TIMEOUT_S) -> None:
        parts, host = address_of(settings)
        self._settings = settings
        self._path = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Token {token}", "Content-Type": "text/plain; charset=utf-8", "Content-Encoding": "gzip"}
        port = parts.port
        self._make: Callable[[], http.client.HTTPConnection] = (
            (lambda: http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context()))
            if parts.scheme == "https"
            else (lambda: http.client.HTTPConnection(host, port, timeout=timeout_s))
        )
        self._open: http.client.HTTPConnection | None = None
        self._one = threading.Lock()

    def write(self, destination: Destination, lines: Sequence[Line]) -> Answer:
        """Write these lines; none only asks whether the token may."""
        asked = {"org": self._settings.organisation, "bucket": bucket_name(self._settings, destination.bucket), "precision": destination.precision}
        body = gzip.compress(b"\n".join(line.text for line in lines), _LEVEL, mtime=0)
        with self._one:  # whoever was cancelled while a write went on has left its thread here
            try:
                return self._ask(f"{self._path}/api/v2/write?{urlencode(asked)}", body)
            except (http.client.HTTPException, OSError) as error:
                self.close()
                return Answer(0, f"{type(error).__name__}: {error}")

    def _ask(self, path: str, body: bytes) -> Answer:
        if self._open is None:
            self._open = self._make()
        self._open.request("POST", path, body, self._headers)
        answer = self._open.getresponse()
        text = answer.read(_MOST_ANSWER)
        if answer.will_close or not answer.isclosed():
            self.close()
        return Answer(answer.status, _message(text), answer.headers.get("Retry-After", ""))

    def close(self) -> None:
        """End it; the next write opens another."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def interrupt(self) -> None:
        """From another thread: have a write that goes on end now, with an answer of status 0."""
        opened = self._open
        if opened is not None and opened.sock is not None:
            with suppress(OSError):
                opened.sock.shutdown(socket.SHUT_RDWR)


def address_of(settings: Influx) -> tuple[SplitResult, str]:
    """The parts of `influx.url`, and its host. Raises ConfigError where it is no address."""
    try:
        parts = urlsplit(settings.url)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return parts, parts.hostname
    except ValueError:  # of the port
        pass
    raise ConfigError(f"influx.url = {settings.url!r} is no address: give http://host:8086 or https://host")


def bucket_name(settings: Influx, bucket: Bucket) -> str:
    """The name of a bucket on the server."""
    return f"{settings.bucket_prefix}{bucket}"


def token_of(file: str, key: str) -> str:
    """The token in a file that a key of the configuration names. Raises ConfigError where there is none, which says where it comes from."""
    mend = f"it holds the token and nothing else: {_FROM_THE_SERVER if key == 'admin_token_file' else _BY_COMMAND}"
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
        raise ConfigError(f"influx.{key} = {file!r} {reason}; {mend}") from None
    if not text or not text.isascii() or not text.isprintable():
        raise ConfigError(f"influx.{key} = {file!r} holds no token; {mend}")
    return text


def _message(text: bytes) -> str:
    """The reason in an answer, which InfluxDB wraps in JSON and proxies do not."""
    try:
        told = json.loads(text)
    except ValueError:
        return text.decode(errors="replace")
    return str(told.get("message", told)) if isinstance(told, dict) else str(told)
