"""A proxy in front of InfluxDB that fails in the ways servers and networks do, by a script: for tests and trials of whatever writes there.

Only writes meet faults; everything else goes through. It listens on the loopback interface only.
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from routecast.servers.kafka import free_port

Kind = Literal["answer", "reset", "lost", "half", "slow"]

WRITES: Final = "/api/v2/write"
_TIMEOUT_S: Final = 30.0
_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    `answer`: it is answered with `status` and never reaches the server. `reset`: the connection is reset before it does. `lost`: the server
    carries it out, and the connection is reset instead of an answer. `half`: the same, after half of the answer. `slow`: the server carries
    it out, and the answer comes after `seconds`.
    """

    kind: Kind
    status: int = 0
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    seconds: float = 0.0


Script = Callable[[int, bytes], Fault | None]
"""From the number of a write, 0, 1, 2 …, and its body, uncompressed, to what happens to it; None: it goes through."""


def poisoned(text: bytes) -> Script:
    """A script by which the server fails on every body that holds this text."""
    return lambda _, body: Fault("answer", 500, "internal error") if text in body else None


class FaultProxy:
    """The proxy, in threads of its own.

    Args:
        upstream: address of the server.
        script: what happens to each write.

    `with` starts and stops it.
    """

    def __init__(self, upstream: str, script: Script) -> None:
        self.script = script
        self.statuses: list[int] = []
        """What each write was answered with, in their order; 0 where the connection was reset."""
        self._upstream = urlsplit(upstream).netloc
        self._lock = threading.Lock()
        self._writes = 0
        self._stopped = threading.Event()
        self._server = _Server(("127.0.0.1", free_port()), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="influx-faults", daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def fault(self, body: bytes) -> Fault | None:
        """What happens to the next write."""
        with self._lock:
            number, self._writes = self._writes, self._writes + 1
        return self.script(number, body)

    def upstream(self) -> http.client.HTTPConnection:
        """A connection to the server."""
        return http.client.HTTPConnection(self._upstream, timeout=_TIMEOUT_S)

    def wait(self, seconds: float) -> None:
        """Wait, unless it is stopped."""
        self._stopped.wait(seconds)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(_Handler):
            faults = proxy

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT_S
    faults: FaultProxy

    def do_GET(self) -> None:
        self._pass()

    def do_DELETE(self) -> None:
        self._pass()

    def do_PATCH(self) -> None:
        self._pass()

    def do_POST(self) -> None:
        self._pass()

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        write = self.path.startswith(WRITES)
        fault = self.faults.fault(self._plain(body)) if write else None
        status = self._suffer(fault, body)
        if write:
            self.faults.statuses.append(status)

    def _plain(self, body: bytes) -> bytes:
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _suffer(self, fault: Fault | None, body: bytes) -> int:
        if fault is not None and fault.kind == "answer":
            self._answer(fault.status, dict(fault.headers), json.dumps({"code": "scripted", "message": fault.message}).encode())
            return fault.status
        if fault is not None and fault.kind == "reset":
            return self._reset()
        try:
            status, headers, text = self._ask(body)
        except (http.client.HTTPException, OSError):
            return self._reset()
        if fault is not None and fault.kind in {"lost", "half"}:
            if fault.kind == "half":
                self.wfile.write(b"HTTP/1.1 204 No Content\r\nX-Influx")
                self.wfile.flush()
            return self._reset()
        if fault is not None:
            self.faults.wait(fault.seconds)
        self._answer(status, headers, text)
        return status

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = self.faults.upstream()
        try:
            connection.request(self.command, self.path, body, {name: value for name, value in self.headers.items() if name.lower() not in _HOP})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}, text
        finally:
            connection.close()

    def _answer(self, status: int, headers: Mapping[str, str], text: bytes) -> None:
        try:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        except OSError:
            self.close_connection = True

    def _reset(self) -> int:
        """End the connection so that the client is told of it as an error, not as an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        return 0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the library
        """Say nothing."""
