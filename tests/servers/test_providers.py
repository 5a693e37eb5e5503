from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest

from routecast.analytics.simulation.recorded import Answer
from routecast.recordings import Run
from routecast.servers.providers import RETRY_AFTER_S, SLOWDOWN, Provider, providers

REFUSED = Answer(rate_limited=True, ttft_ms=0.0, tpot_ms=0.0)
ANSWERED = Answer(rate_limited=False, ttft_ms=200.0, tpot_ms=2.0)
RUN = Run("east", "one", "m", (ANSWERED, REFUSED))
Tell = Callable[[Provider, httpx.AsyncClient], Coroutine[Any, Any, None]]


def _with_provider(tell: Tell) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), providers([RUN], speed=10.0) as servers, httpx.AsyncClient(timeout=None, trust_env=False) as client:
            await tell(servers["east"], client)
        assert len(asyncio.all_tasks()) == 1

    threads = threading.active_count()
    asyncio.run(main())
    assert psutil.Process().net_connections("tcp") == []
    assert threading.active_count() == threads


async def _ask(provider: Provider, client: httpx.AsyncClient, tokens: int = 100) -> httpx.Response:
    return await client.post(provider.url, json={"max_tokens": tokens})


def test_an_answer_takes_its_recorded_time_and_comes_in_pieces() -> None:
    """At ten times the speed, 20 ms to the first token and 0.2 ms for each of the others; a connection serves many."""

    async def tell(provider: Provider, client: httpx.AsyncClient) -> None:
        for _ in range(3):
            begun_s = time.perf_counter()
            async with client.stream("POST", provider.url, json={"max_tokens": 100}) as response:
                pieces = [(time.perf_counter() - begun_s, piece) async for piece in response.aiter_raw()]
            assert b"".join(piece for _, piece in pieces) == b"token " * 100
            assert pieces[0][0] >= 0.02
            assert pieces[-1][0] >= 0.02 + 99 * 0.0002
            assert len(pieces) > 1
        assert provider.asked == 3

    _with_provider(tell)


def test_a_slow_stream_takes_longer_for_every_token() -> None:
    """The first one comes as ever."""

    async def tell(provider: Provider, client: httpx.AsyncClient) -> None:
        await provider.suffer("slow")
        begun_s = time.perf_counter()
        await _ask(provider, client)
        assert time.perf_counter() - begun_s >= 0.02 + 99 * 0.0002 * SLOWDOWN

    _with_provider(tell)


def test_a_storm_refuses_what_was_refused() -> None:
    """As recorded every second request; refusals say how long to stay away. Without a storm nothing is refused."""

    async def tell(provider: Provider, client: httpx.AsyncClient) -> None:
        assert [(await _ask(provider, client)).status_code for _ in range(3)] == [200, 200, 200]
        await provider.suffer("storm")
        answers = [await _ask(provider, client) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 429, 200, 429]
        assert answers[1].headers["retry-after"] == str(RETRY_AFTER_S)
        assert answers[1].headers["x-ratelimit-remaining-requests"] == "0"

    _with_provider(tell)


def test_an_outage_cuts_answers_and_refuses_connections_until_it_is_over() -> None:
    """The port stays the same."""

    async def tell(provider: Provider, client: httpx.AsyncClient) -> None:
        async with client.stream("POST", provider.url, json={"max_tokens": 100_000}) as response:
            await provider.suffer("down")
            with pytest.raises(httpx.TransportError):
                await response.aread()
        with pytest.raises(httpx.ConnectError):
            await _ask(provider, client)
        await provider.suffer("none")
        assert (await _ask(provider, client)).status_code == 200

    _with_provider(tell)


def test_a_provider_that_hangs_accepts_and_says_nothing_until_the_client_goes() -> None:
    """Not even a status."""

    async def tell(provider: Provider, client: httpx.AsyncClient) -> None:
        await provider.suffer("hang")
        with pytest.raises(httpx.ReadTimeout):
            await client.post(provider.url, json={}, timeout=0.2)
        assert provider.asked == 1

    _with_provider(tell)


def test_hanging_connections_are_taken_down_with_the_servers() -> None:
    """A client that still waits learns that its connection is gone."""

    async def tell(provider: Provider, client: httpx.AsyncClient) -> None:
        await provider.suffer("hang")
        waiting = asyncio.create_task(_ask(provider, client))
        while not provider.asked:  # noqa: ASYNC110 - a server for tries has no event for it
            await asyncio.sleep(0)
        await provider.stop()
        with pytest.raises(httpx.TransportError):
            await waiting

    _with_provider(tell)


@pytest.mark.parametrize("turns", range(8))
def test_a_connection_that_comes_while_the_server_stops_is_cut(turns: int) -> None:
    """Wherever its acceptance stands: not seen yet, accepted, or served for no more than an instant."""

    async def tell(provider: Provider, _: httpx.AsyncClient) -> None:
        with socket.create_connection(("127.0.0.1", httpx.URL(provider.url).port or 0)) as client:
            for _turn in range(turns):
                await asyncio.sleep(0)
            await provider.suffer("down")
            client.setblocking(False)
            with suppress(ConnectionError):
                assert await asyncio.get_running_loop().sock_recv(client, 1) == b""

    _with_provider(tell)
    gc.collect()


@pytest.mark.parametrize("body", [b"no JSON", b'{"max_tokens": "many"}', b"[]"])
def test_what_cannot_be_read_is_answered_with_400(body: bytes) -> None:
    """And the connection closed; the next request finds a new one."""

    async def tell(provider: Provider, client: httpx.AsyncClient) -> None:
        assert (await client.post(provider.url, content=body)).status_code == 400
        assert (await _ask(provider, client)).status_code == 200

    _with_provider(tell)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n", b"x" * 100_000, b"POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\n{"])
def test_a_client_that_goes_half_way_leaves_nothing_behind(sent: bytes) -> None:
    """Its connection ends quietly, others are served."""

    async def tell(provider: Provider, client: httpx.AsyncClient) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(provider.url).port)
        writer.write(sent)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await _ask(provider, client)).status_code == 200

    _with_provider(tell)
