from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from routecast.dashboards.influx.connection import Connection
from routecast.dashboards.influx.delivery import Answer
from routecast.dashboards.influx.line_protocol import Destination, Encoder, Line, Point
from routecast.dashboards.influx.schema import PIPELINE, PROVIDER_STATE
from routecast.dashboards.influx.writer import MOST_BYTES, MOST_LINES, Writer
from routecast.models.config import Influx
from routecast.models.errors import ConfigError, Unreachable
from routecast.servers.influx_faults import Fault, FaultProxy, Script, poisoned
from routecast.streams.clock import FixedClock, SystemClock

Run = Callable[[Coroutine[Any, Any, Any]], Any]

NOW_MS = int(time.time() * 1000) // 1000 * 1000
NOTHING: Script = lambda _number, _body: None  # noqa: E731 - a script


def _lines(count: int, at_ms: int = NOW_MS) -> list[Line]:
    encoder = Encoder(PROVIDER_STATE)
    return [encoder.line(Point(PROVIDER_STATE, (f"t{i}", "chat"), at_ms, ("ok", i))) for i in range(count)]


def _first(*faults: Fault) -> Script:
    return lambda number, _: faults[number] if number < len(faults) else None


async def _no_wait(_: float) -> None:
    """Waits are drawn and not spent."""


async def _store(store: Any, script: Script, lines: Sequence[Line]) -> tuple[list[tuple[bytes, str]], Writer, list[int]]:
    """Store through the proxy; what was rejected, the writer, and what the proxy answered."""
    with FaultProxy(store.settings.url, script) as proxy:
        connection = Connection(store.settings.model_copy(update={"url": proxy.url}), store.token, timeout_s=2.0)
        writer = Writer(connection, SystemClock(), random.Random(1), _no_wait)
        rejected = await writer.store(lines)
        connection.close()
    return [(found.line.text, found.reason) for found in rejected], writer, proxy.statuses


def _stored(store: Any) -> list[int]:
    return sorted(int(value) for _, field, value in store.points("90d") if field == "code")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("answer", 503, "unavailable"), Fault("answer", 429, "slow down", {"Retry-After": "1"}), Fault("answer", 500, "internal error"),
        Fault("answer", 413, "too large"), Fault("answer", 422, "partial write: dropped=1"), Fault("answer", 400, "unable to parse 'else': x"),
        Fault("reset"), Fault("lost"), Fault("half"), Fault("slow", seconds=4.0),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)  # fmt: skip
def test_every_fault_costs_nothing(fault: Fault, store: Any, run: Run) -> None:
    """Through a real connection, on a real server: twice in a row, everything is stored and nothing is rejected."""
    rejected, writer, statuses = run(_store(store, _first(fault, fault), _lines(50)))
    assert (rejected, _stored(store)) == ([], list(range(50)))
    assert (statuses[-1], writer.up, writer.stored, writer.rejected) == (204, True, 50, 0)


def test_bad_lines_are_rejected_with_the_servers_words_and_their_neighbours_stored(store: Any, run: Run) -> None:
    """A type that conflicts, a line too old for its bucket, one that nobody can read, one that the server fails on."""
    run(_store(store, NOTHING, _lines(1)))
    place = Destination("90d", "ms")
    bad = {
        "conflict": Line(b'provider_state,target=conflict state="ok",code=1.5 %d' % NOW_MS, place, "provider_state", NOW_MS),
        "old": Encoder(PROVIDER_STATE).line(Point(PROVIDER_STATE, ("old", "chat"), NOW_MS - 91 * 86_400_000, ("ok", 1))),
        "unreadable": Line(b"provider_state,target=unreadable code=1i,state=\x01 %d" % NOW_MS, place, "provider_state", NOW_MS),
        "poison": Encoder(PROVIDER_STATE).line(Point(PROVIDER_STATE, ("poison", "chat"), NOW_MS, ("ok", 1))),
    }
    lines = _lines(40)
    for i, line in enumerate(bad.values()):
        lines.insert(7 * i + 3, line)
    rejected, writer, _ = run(_store(store, poisoned(b"target=poison"), lines))
    assert _stored(store) == list(range(40))
    reasons = {next(name for name, line in bad.items() if line.text == text): reason for text, reason in rejected}
    assert reasons.keys() == bad.keys()
    assert "field type conflict" in reasons["conflict"]
    assert "retention policy" in reasons["old"]
    assert "invalid" in reasons["unreadable"]
    assert "while it stores others: internal error" in reasons["poison"]
    assert (writer.stored, writer.rejected) == (40, 4)


def test_thousands_of_unreadable_lines_are_all_found_at_once(store: Any, run: Run) -> None:
    """The server quotes every one of them."""
    place = Destination("90d", "ms")
    bad = [Line(b"provider_state,target=t%d code=bad %d" % (i, NOW_MS), place, "provider_state", NOW_MS) for i in range(3000)]
    rejected, _, statuses = run(_store(store, NOTHING, [*bad, *_lines(1000)]))
    assert (len(rejected), _stored(store), statuses) == (3000, list(range(1000)), [400, 204])


def test_a_poison_line_alone_is_rejected_where_nothing_was_ever_stored(store: Any, run: Run) -> None:
    """A point of the sink's own proves that the server stores."""
    rejected, _, statuses = run(_store(store, poisoned(b"target=t0"), _lines(1)))
    assert len(rejected) == 1
    assert statuses == [500, 500, 500, 204, 500, 204, 500, 204]


@pytest.mark.parametrize(
    ("change", "token", "advice"),
    [
        ({}, "nonsense", "the token is not known there"),
        ({"organisation": "nobody"}, None, "organisation or bucket do not exist"),
        ({"bucket_prefix": "absent-"}, None, "`routecast influx init` makes them"),
    ],
)
def test_what_somebody_has_to_mend_is_said_at_once(change: dict[str, str], token: str | None, advice: str, store: Any, run: Run) -> None:
    """By the check at the start, and by a write."""
    connection = Connection(store.settings.model_copy(update=change), token or store.token)
    writer = Writer(connection, SystemClock(), random.Random(1), _no_wait)
    for ask in (writer.check, lambda: writer.store(_lines(1))):
        with pytest.raises(Unreachable, match=advice):
            run(ask())
    connection.close()


def test_the_check_passes_where_the_token_may_write_and_where_nobody_answers(store: Any, run: Run) -> None:
    """An outage says nothing about the token."""
    for change in ({}, {"url": "http://127.0.0.1:9"}):
        connection = Connection(store.settings.model_copy(update=change), store.token)
        run(Writer(connection, SystemClock(), random.Random(1), _no_wait).check())
        connection.close()


class Page:
    """Answers whatever it is asked, and is no InfluxDB."""

    def write(self, destination: Destination, lines: Sequence[Line]) -> Answer:  # noqa: ARG002 - whatever it is asked
        """As a web server does."""
        return Answer(200, "<html>")


def test_the_check_finds_that_something_else_answers(run: Run) -> None:
    """Not the first write, which comes when the sink has long been called ready."""
    with pytest.raises(Unreachable, match="the address of an InfluxDB 2 and of nothing else"):
        run(Writer(Page(), SystemClock(), random.Random(1), _no_wait).check())


class Accepting:
    """A target that stores everything and remembers how it was given."""

    def __init__(self) -> None:
        self.requests: list[tuple[Destination, int, int]] = []

    def write(self, destination: Destination, lines: Sequence[Line]) -> Answer:
        """Store."""
        self.requests.append((destination, len(lines), sum(len(line.text) + 1 for line in lines)))
        return Answer(204)


def test_requests_are_bounded_and_go_to_one_bucket_each(run: Run) -> None:
    """5,000 lines and 4 MiB at most; a line that is longer goes alone."""
    target = Accepting()
    writer = Writer(target, FixedClock(NOW_MS), random.Random(1), _no_wait)
    place = Destination("7d", "ms")
    long = [Line(b"x" * 1_000_000, place, "m", NOW_MS) for _ in range(9)]
    huge = Line(b"y" * (MOST_BYTES + 1), place, "m", NOW_MS)
    run(writer.store([*_lines(12_000), *long, huge]))
    assert [count for destination, count, _ in target.requests if destination.bucket == "90d"] == [MOST_LINES, MOST_LINES, 2000]
    assert [count for destination, count, _ in target.requests if destination.bucket == "7d"] == [4, 4, 1, 1]
    assert all(size <= MOST_BYTES + 5000 or count == 1 for _, count, size in target.requests)


def test_a_wait_can_be_ended(run: Run) -> None:
    """Whoever stops a sink need not wait for an outage to end."""

    async def stopped() -> None:
        connection = Connection(Influx(url="http://127.0.0.1:9"), "x")
        task = asyncio.ensure_future(Writer(connection, SystemClock(), random.Random(1)).store(_lines(1)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(stopped())


def test_times_of_nanoseconds_and_milliseconds_are_the_same_moment(store: Any, run: Run) -> None:
    """The first witness of both kinds of bucket stands where it was written."""
    run(_store(store, NOTHING, [Encoder(PIPELINE).line(Point(PIPELINE, ("sink", "a"), NOW_MS, (1, 0, 1.0, 1.0, 1.0, 1)))]))
    (row,) = store.query('BUCKET(7d) |> filter(fn: (r) => r._field == "lag") |> map(fn: (r) => ({_value: int(v: r._time) / 1000000}))')
    assert int(row["_value"]) == NOW_MS


@pytest.mark.parametrize("url", ["localhost:8086", "ftp://x", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """Before anything is tried."""
    with pytest.raises(ConfigError, match=r"is no address: give http://host:8086"):
        Connection(Influx(url=url), "x")
