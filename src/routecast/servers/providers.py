"""Local HTTP servers that answer as the recorded providers did: real sockets, real time-outs, and troubles on request.

What is recorded: times to the first token and per token with their tails, and which requests were refused (llmperf). What is ours, and
labelled so: how much faster time passes, the headers of refusals, and the troubles.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import cycle
from typing import Literal

import msgspec

from routecast.analytics.simulation.recorded import Answer
from routecast.recordings import Run

Trouble = Literal["none", "down", "hang", "storm", "slow"]
"""None; connections are refused and those that are open are cut; accepts and never answers; refuses as recorded; streams slowly."""

RETRY_AFTER_S = 2
"""What a refusal says."""
SLOWDOWN = 5.0
"""How much longer each token takes in a slow stream."""
_PIECES = 5
"""Most pieces that an answer comes in: each is a wake-up of the server and of the client."""
_TOKEN = b"token "
_REFUSAL = {
    "retry-after": f"{RETRY_AFTER_S}", "x-ratelimit-limit-requests": "20",
    "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": f"{RETRY_AFTER_S}s",
}  # fmt: skip
_STATUS = {200: "OK", 400: "Bad Request", 429: "Too Many Requests"}


class _Asked(msgspec.Struct):
    """What a request asks for."""

    max_tokens: int = 150


class Provider:
    """A server on a free port of 127.0.0.1 that plays one recorded run, again and again. Use `providers`, which also takes it down.

    `POST` of `{"max_tokens": n}` is answered with n words, streamed. Knows as much of HTTP/1.1 as that takes. Raises nothing at clients: a
    request that it cannot read is answered with 400.

    Args:
        run: what to play.
        speed: how much faster than recorded.
    """

    def __init__(self, run: Run, speed: float) -> None:
        self.run = run
        self.trouble: Trouble = "none"
        """What is the matter with it; `suffer` changes it."""
        self.asked = 0
        """Requests that arrived."""
        self._speed = speed
        self._served = cycle([answer for answer in run.answers if not answer.rate_limited])
        self._all = cycle(run.answers)
        self._port = 0
        self._listener: socket.socket | None = None
        self._connections: dict[asyncio.Task[None], socket.socket] = {}

    @property
    def url(self) -> str:
        """Where to post requests to."""
        return f"http://127.0.0.1:{self._port}/"

    async def suffer(self, trouble: Trouble) -> None:
        """Have this trouble from now on, or none. Answers under way end as they began, but for an outage."""
        self.trouble = trouble
        if trouble == "down":
            await self.stop()
        elif self._listener is None:
            self.start()

    def start(self) -> None:
        """Listen; after an outage on the same port."""
        listener = self._listener = socket.create_server(("127.0.0.1", self._port))
        listener.settimeout(0)
        self._port = listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def stop(self) -> None:
        """Refuse connections and cut those that are open."""
        listener, self._listener = self._listener, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        connections = dict(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        for connection in connections.values():  # a task that was cancelled before it began has not closed it
            connection.close()

    def _accept(self, listener: socket.socket) -> None:
        """In one step, unlike `asyncio.start_server`, which forgets a connection that it accepts while it is being closed."""
        with suppress(BlockingIOError, ConnectionError):
            connection, _ = listener.accept()
            task = asyncio.create_task(self._serve(connection))
            self._connections[task] = connection
            task.add_done_callback(self._connections.pop)

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                while (asked := await _request(reader)) is not None:
                    self.asked += 1
                    await self._answer(asked, reader, writer)
                _begin(writer, 400, {"content-length": "0", "connection": "close"})
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def _answer(self, asked: _Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.trouble == "hang":
            while await reader.read(1024):  # until the client goes away
                pass
            return
        answer = next(self._all if self.trouble == "storm" else self._served)
        if answer.rate_limited:
            _begin(writer, 429, {"content-length": "0", **_REFUSAL})
        else:
            await self._stream(answer, max(1, asked.max_tokens), writer)
        await writer.drain()

    async def _stream(self, answer: Answer, tokens: int, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(answer.ttft_ms / 1000.0 / self._speed)
        _begin(writer, 200, {"content-type": "text/plain", "transfer-encoding": "chunked"})
        _piece(writer, _TOKEN)
        per_token_s = answer.tpot_ms / 1000.0 / self._speed * (SLOWDOWN if self.trouble == "slow" else 1.0)
        sent = 1
        for number in range(1, _PIECES):
            due = 1 + (tokens - 1) * number // (_PIECES - 1)
            if due > sent:
                await asyncio.sleep((due - sent) * per_token_s)
                _piece(writer, _TOKEN * (due - sent))
                await writer.drain()
                sent = due
        _piece(writer, b"")


@asynccontextmanager
async def providers(runs: Iterable[Run], speed: float) -> AsyncGenerator[dict[str, Provider], None]:
    """Servers for these runs, by their names, `speed` times faster than recorded; none of their sockets and tasks is left behind."""
    started = {run.name: Provider(run, speed) for run in runs}
    async with AsyncExitStack() as stack:
        for provider in started.values():
            stack.push_async_callback(provider.stop)
            provider.start()
        yield started


async def _request(reader: asyncio.StreamReader) -> _Asked | None:
    """The next request of a connection, or None where it makes no sense. Raises IncompleteReadError at the end of the connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    headers = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    try:
        body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
        return msgspec.json.decode(body, type=_Asked)
    except (ValueError, msgspec.MsgspecError):
        return None


def _begin(writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {status} {_STATUS[status]}\r\n{lines}\r\n".encode())


def _piece(writer: asyncio.StreamWriter, data: bytes) -> None:
    """A chunk of an answer; the empty one ends it."""
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))
