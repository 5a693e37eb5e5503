from __future__ import annotations

import gzip
import http.client
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest

from routecast.servers.influx_faults import Fault, FaultProxy, Script, poisoned


class _Upstream(BaseHTTPRequestHandler):
    """A server that answers 204 and remembers what it was given."""

    protocol_version = "HTTP/1.1"
    given: list[bytes]

    def do_POST(self) -> None:
        self.given.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response_only(204)
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response_only(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"up")


@pytest.fixture
def upstream() -> Iterator[tuple[str, list[bytes]]]:
    """Address of such a server, and what it was given."""
    given: list[bytes] = []
    server = HTTPServer(("127.0.0.1", 0), type("Upstream", (_Upstream,), {"given": given}))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", given
    server.shutdown()
    thread.join()
    server.server_close()


def _write(url: str, body: bytes) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("POST", "/api/v2/write?bucket=b", gzip.compress(body), {"Content-Encoding": "gzip"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def _only_the_first(fault: Fault) -> Script:
    return lambda number, _: fault if number == 0 else None


def test_what_meets_no_fault_goes_through(upstream: tuple[str, list[bytes]]) -> None:
    """As it is, and so does everything that is no write, whatever the script says."""
    with FaultProxy(upstream[0], _only_the_first(Fault("answer", 503))) as proxy:
        connection = http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=10)
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b"up"
        connection.close()
        assert [_write(proxy.url, b"a").status, _write(proxy.url, b"b").status] == [503, 204]
    assert [gzip.decompress(body) for body in upstream[1]] == [b"b"]
    assert proxy.statuses == [503, 204]


def test_an_answer_is_as_scripted(upstream: tuple[str, list[bytes]]) -> None:
    """With its headers and reason, and the server sees nothing of the request."""
    with FaultProxy(upstream[0], _only_the_first(Fault("answer", 429, "slow down", {"Retry-After": "3"}))) as proxy:
        answer = _write(proxy.url, b"a")
    assert (answer.status, answer.headers["Retry-After"], upstream[1]) == (429, "3", [])


@pytest.mark.parametrize(("kind", "given"), [("reset", 0), ("lost", 1), ("half", 1)])
def test_a_connection_breaks_before_or_after_the_server_has_done_its_work(kind: str, given: int, upstream: tuple[str, list[bytes]]) -> None:
    """The client cannot tell which."""
    with FaultProxy(upstream[0], _only_the_first(Fault(kind))) as proxy, pytest.raises((OSError, http.client.HTTPException)):  # type: ignore[arg-type]
        _write(proxy.url, b"a")
    assert len(upstream[1]) == given
    assert proxy.statuses == [0]


def test_a_slow_answer_comes_after_the_work_is_done(upstream: tuple[str, list[bytes]]) -> None:
    """A client that has lost its patience may send again what is stored already."""
    with FaultProxy(upstream[0], _only_the_first(Fault("slow", seconds=60))) as proxy:
        connection = http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=0.3)
        connection.request("POST", "/api/v2/write", b"a")
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()
        assert upstream[1] == [b"a"]


def test_poison_is_found_inside_a_compressed_body(upstream: tuple[str, list[bytes]]) -> None:
    """The server fails on every body that holds it, and on no other."""
    with FaultProxy(upstream[0], poisoned(b"x=13i")) as proxy:
        assert [_write(proxy.url, body).status for body in (b"m x=12i\nm x=13i", b"m x=12i", b"m x=13i")] == [500, 204, 500]
