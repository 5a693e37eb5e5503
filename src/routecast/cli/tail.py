"""`routecast tail`: follow a topic."""

from __future__ import annotations

import difflib
import os
import select
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from routecast.cli.kafka import File, Plain, Url, ask, configured

if TYPE_CHECKING:
    from routecast.models.config import Kafka
    from routecast.streams.operators.tailing import Start, Tailed
    from routecast.streams.topics import Topic


def tail(
    topic: Annotated[
        str, typer.Argument(help="events, panes, trips, control, ticks, scores, details, metrics, insights, state, vitals or deadletter.")
    ] = "events",
    *,
    begin: Annotated[str, typer.Option("--from", help="beginning, end, N-back (N records before the end of each partition), or an offset.")] = "end",
    partition: Annotated[int | None, typer.Option(min=0, help="Only this partition.")] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", metavar="KEY=VALUE", help="Only what has this value; a.b looks inside a. Repeatable.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print values as they are on the log.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document a line.")] = False,
    plain: Plain = False,
    lines: Annotated[int | None, typer.Option("-n", "--lines", min=1, help="Stop after so many lines.")] = None,
    config: File = None,
    kafka: Url = None,
) -> None:
    """Follow a topic until Ctrl-C: events one a line, everything else as compact JSON."""
    from routecast.streams.operators.tailing import Start  # noqa: PLC0415 - slow to import

    settings = configured(config, kafka).kafka
    found = _topic(topic, settings.prefix)
    wanted = _filters(filters or ())
    try:
        start = Start.parse(begin)
    except ValueError as error:
        raise typer.BadParameter(f"--from: {error}") from None
    if raw and (wanted or json or plain):
        raise typer.BadParameter("--raw prints values as they are: it goes with no --filter, --json or --plain")
    shown = _raw if raw else _shown(found, wanted, json=json, plain=plain)
    try:
        ask(settings, _follow(settings, found, partition, start, lines, shown), within_s=None)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains when it flushes at its end


async def _follow(settings: Kafka, topic: Topic, partition: int | None, start: Start, most: int | None, shown: Callable[[Tailed], Iterator[bytes]]) -> None:
    from routecast.streams.operators.tailing import tail as records  # noqa: PLC0415 - slow to import

    left = most
    async with aclosing(records(settings, topic, partition, start)) as batches:
        async for batch in batches:
            for line in islice((line for tailed in batch for line in shown(tailed)), left):
                sys.stdout.buffer.write(line + b"\n")
                left = None if left is None else left - 1
            sys.stdout.buffer.flush()
            if left == 0:
                return
            _raise_if_closed()


def _raise_if_closed() -> None:
    """Raise BrokenPipeError when nobody reads any more: without news there is no write that would tell."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0)):
        raise BrokenPipeError


def _shown(topic: Topic, wanted: Mapping[str, str], *, json: bool, plain: bool) -> Callable[[Tailed], Iterator[bytes]]:
    from routecast.cli.lines import as_json, as_tabs, as_text, lines_of, meets  # noqa: PLC0415 - slow to import

    written = as_json if json else as_tabs if plain else as_text

    def show(tailed: Tailed) -> Iterator[bytes]:
        for line in lines_of(topic, tailed):
            if meets(line, wanted):
                yield written(line).encode()

    return show


def _raw(tailed: Tailed) -> Iterator[bytes]:
    if tailed.record.value is not None:
        yield tailed.record.value


def _topic(name: str, prefix: str) -> Topic:
    from routecast.streams.topics import ALL  # noqa: PLC0415 - slow to import

    for topic in ALL:
        if name == topic or name == prefix + topic:
            return topic
    near = difflib.get_close_matches(name, ALL, n=1)
    raise typer.BadParameter(f"no topic {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"topics are {', '.join(ALL)}"))


def _filters(texts: list[str] | tuple[()]) -> dict[str, str]:
    wrong = [text for text in texts if not text.partition("=")[0] or "=" not in text]
    if wrong:
        raise typer.BadParameter(f"--filter {wrong[0]!r}: give KEY=VALUE, such as outcome=error")
    return {key: value for key, _, value in (text.partition("=") for text in texts)}
