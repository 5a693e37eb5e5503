"""`routecast insights`: what is true now, and what becomes true."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from routecast.cli.insights_screen import SECTIONS, plain_rows, print_overview
from routecast.cli.kafka import READ_S, File, Json, Plain, Url, ask, configured
from routecast.cli.names import missing
from routecast.cli.render import complain, show_json, show_rows
from routecast.cli.targets import USAGE, warn_of_silence

if TYPE_CHECKING:
    from routecast.models.config import Config
    from routecast.models.overview import Overview
    from routecast.streams.operators.insights_log import Said

HEADS = ("kind", "about", "what", "level", "since_ms", "said")


def insights(
    *,
    service: Annotated[str | None, typer.Option("--service", help="Of this service and its targets.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Some of alert, change, trend, recommendation, capacity, experiment, separated by commas.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with a line for whatever begins, changes or ends, until Ctrl-C.")] = False,
    config: File = None,
    kafka: Url = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Show what is the matter and what would help: alerts, changes, what gets better or worse, recommendations, capacity."""
    from routecast.streams.clock import SystemClock  # noqa: PLC0415 - slow to import
    from routecast.streams.operators.insights_log import said  # noqa: PLC0415

    kinds = _kinds(kind)
    loaded, now_ms = configured(config, kafka), SystemClock().now_ms()
    found = ask(loaded.kafka, said(loaded, now_ms), within_s=READ_S)
    overview = _overview(loaded, found, now_ms, service, kinds)
    warn_of_silence(loaded, found.snapshots)
    if found.unreadable:
        complain(f"{found.unreadable} records in the topic of insights are none and were left out")
    if json and not follow:
        show_json(overview)
    elif plain:
        show_rows(HEADS, list(plain_rows(overview)), "plain")
    elif not json:
        print_overview(overview, kinds)
    if follow:
        with suppress(KeyboardInterrupt):
            ask(loaded.kafka, _follow(loaded, found, service, kinds, json=json, plain=plain), within_s=None)


def _kinds(text: str | None) -> tuple[str, ...]:
    wanted = tuple(part.strip() for part in text.split(",")) if text else SECTIONS
    unknown = [part for part in wanted if part not in SECTIONS]
    if unknown:
        complain(f"no kind {unknown[0]!r}: there are {', '.join(SECTIONS)}")
        raise typer.Exit(USAGE)
    return wanted


def _overview(loaded: Config, found: Said, now_ms: float, service: str | None, kinds: tuple[str, ...]) -> Overview:
    from routecast.analytics.insights.standing import standing  # noqa: PLC0415 - numpy is slow to import
    from routecast.models.overview import Overview  # noqa: PLC0415

    if service is not None and service not in loaded.services:
        complain(missing("service", service, sorted(loaded.services)))
        raise typer.Exit(USAGE)
    holds = standing(found.insights, found.as_of_ms, service=service, analysis_ms=loaded.intervals.analysis_ms)
    return Overview(
        at_ms=now_ms,
        snapshots=tuple(age for age in found.snapshots if service in {None, age.service}),
        alerts=holds.alerts if "alert" in kinds else (),
        changes=holds.changes if "change" in kinds else (),
        trends=holds.trends if "trend" in kinds else (),
        recommendations=holds.recommendations if "recommendation" in kinds else (),
        capacity=holds.capacity if "capacity" in kinds else (),
        experiments=holds.experiments if "experiment" in kinds else (),
        unreadable=found.unreadable,
    )


async def _follow(loaded: Config, found: Said, service: str | None, kinds: tuple[str, ...], *, json: bool, plain: bool) -> None:
    from routecast.dashboards.terminal.news import News  # noqa: PLC0415 - slow to import
    from routecast.models.insights import decode_insight, encode_insight  # noqa: PLC0415
    from routecast.streams.brokers.reading import decoded, reader  # noqa: PLC0415
    from routecast.streams.topics import INSIGHTS  # noqa: PLC0415

    news = News(kinds, service)
    for insight in found.insights:
        news.of(insight)
    async with reader(loaded.kafka) as read:
        async for _, record in read.follow({INSIGHTS: found.end}, asyncio.Event()):
            heard = decoded(record.value, decode_insight)
            lines = news.of(heard) if heard is not None else []
            if lines and json and heard is not None:
                print(encode_insight(heard).decode(), flush=True)
            elif lines:
                print(*(line.plain if plain else line.text for line in lines), sep="\n", flush=True)
