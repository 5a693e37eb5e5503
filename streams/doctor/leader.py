"""Checks of who leads: whether snapshots come, whether the leader is what this machine is, and whose clock is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from importlib import metadata
from typing import Final, NamedTuple

from pydantic import ValidationError

from routecast.models.config import Config
from routecast.models.errors import DecodeError
from routecast.models.snapshot import RoutingSnapshot, decode_snapshot
from routecast.models.tick import Claim, TickRecord, decode_tick
from routecast.streams.brokers.reading import PartitionReader, reader
from routecast.streams.clock import Clock
from routecast.streams.configuration import leaves
from routecast.streams.doctor.examination import RIGHT_CLOCK, START, Finding, Skipped, existing, span
from routecast.streams.topics import SCORES, STATE, TICKS

SKEW_S: Final = 2.0
"""Clocks that differ by more are worth a word; routers and panes bear more."""
_FAR_S: Final = 60.0
"""Events further ahead are stamped anew, and snapshots look stale."""
_STALE_PERIODS: Final = 10
_PATIENCE_S: Final = 2.0
"""Beyond its period, how long a snapshot is waited for."""
_LONGEST_PERIOD_S: Final = 6.0
"""Snapshots that come less often are not waited for."""
_OWN: Final = {"kafka", "influx"}
_NAMED: Final = 4
_SAME: Final = "have the same version of routecast everywhere: pip install --upgrade routecast"


class Arrival(NamedTuple):
    """A snapshot that came while somebody waited."""

    snapshot: RoutingSnapshot
    append_ms: float
    """By the clock of the brokers."""
    here_ms: float
    """By that of this machine."""


async def leader(config: Config, clock: Clock) -> list[Finding]:
    """Whether snapshots of every service come: they are waited for, so that no clock matters; where they come seldom, whether the newest is fresh."""
    services = sorted(config.services)
    async with reader(config.kafka) as read:
        await existing(read, config.kafka, SCORES)
        newest, end = await read.newest(SCORES, [service.encode() for service in services])
        try:
            arrived = {found.snapshot.service: found async for found in _arrivals(config, clock, read, end)}
            known = {service: decode_snapshot(value) for service in services if (value := newest.get(service.encode())) is not None}
        except DecodeError as error:
            return [Finding("failed", f"what is published cannot be read here ({error})", _SAME)]
    wrong = [bad for service in services if service not in arrived and (bad := _silence(service, known.get(service), clock.now_ms(), seldom=_seldom(config)))]
    fresh = [found.snapshot for found in arrived.values()] or list(known.values())
    return wrong or [Finding("ok", "; ".join(f"{snapshot.service} {snapshot.term}/{snapshot.seq}" for snapshot in fresh))]


def _silence(service: str, newest: RoutingSnapshot | None, now_ms: float, *, seldom: bool) -> Finding | None:
    """What is to be said where no snapshot came; nothing where none was to be expected."""
    if newest is None:
        return Finding("failed", f"nothing was ever published for service {service}: no worker leads, or none with this configuration", START)
    age_s = (now_ms - newest.at_ms) / 1000.0
    if seldom and age_s <= _STALE_PERIODS * newest.period_ms / 1000.0:
        return None
    return Finding("failed", f"no snapshot of {service} comes, the newest is {span(age_s)} old: no worker leads", START)


def _seldom(config: Config) -> bool:
    return config.intervals.snapshot_ms / 1000.0 > _LONGEST_PERIOD_S


async def _arrivals(config: Config, clock: Clock, read: PartitionReader, end: int) -> AsyncIterator[Arrival]:
    """The next snapshot of each service, as long as waiting makes sense. Raises DecodeError."""
    left = set(config.services)
    if _seldom(config):
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(config.intervals.snapshot_ms / 1000.0 + _PATIENCE_S):
            async for _, record in read.follow({SCORES: end}, asyncio.Event()):
                snapshot = decode_snapshot(record.value or b"")
                if snapshot.service in left:
                    left.remove(snapshot.service)
                    yield Arrival(snapshot, record.append_ms, clock.now_ms())
                if not left:
                    return


async def versions(config: Config) -> list[Finding]:
    """Whether the leader runs the same version of this package with the same configuration, by what it says on the log."""
    async with reader(config.kafka) as read:
        end = (await read.ends(TICKS, [0]))[0]
        records = [record async for record in read.stretch(TICKS, 0, max(0, end - 1), end)]
        try:
            tick = decode_tick(records[-1].value or b"") if records else None
            claims = [record async for record in read.stretch(TICKS, 0, tick.term, tick.term + 1)] if isinstance(tick, TickRecord) else []
            claim = decode_tick(claims[0].value or b"") if claims else None
        except DecodeError as error:
            return [Finding("failed", f"what the leader writes cannot be read here ({error})", _SAME)]
        theirs = await _configuration(read, tick.config_version) if tick is not None and tick.config_version != config.version else config
    if tick is None:
        raise Skipped("the leader has said nothing yet")
    return _differences(config, theirs, tick, claim) or [Finding("ok", f"the leader has this configuration, {config.version}, and this version of routecast")]


async def _configuration(read: PartitionReader, version: str) -> Config | None:
    """That of the leader, which it logged; None where this version of routecast cannot read it."""
    key = f"config/{version}".encode()
    value = (await read.newest(STATE, [key]))[0].get(key)
    try:
        return None if value is None else Config.model_validate_json(value)
    except ValidationError:
        return None


def unlike(ours: Config, theirs: Config | None) -> str:
    """The keys that make decisions differ, empty where none does: how to reach servers is everybody's own matter."""
    if theirs is None:
        return "cannot be compared here"
    here, there = (dict(leaves(config.model_dump(mode="json", exclude=_OWN), "")) for config in (ours, theirs))
    keys = sorted(key for key in here.keys() | there.keys() if here.get(key) != there.get(key))
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return f"they differ in {', '.join(keys[:_NAMED])}{more}" if keys else ""


def _differences(config: Config, theirs: Config | None, tick: Claim | TickRecord, claim: object) -> list[Finding]:
    found: list[Finding] = []
    here = metadata.version("routecast")
    if tick.config_version != config.version and (differ := unlike(config, theirs)):
        what = f"the leader runs with configuration {tick.config_version}, this one is {config.version}: {differ}"
        found.append(Finding("warning", what, "start the workers anew with this file, or give the one they have: --config FILE"))
    there = claim.version if isinstance(claim, Claim) else ""
    if there not in {"", here}:
        found.append(Finding("warning", f"the leader is routecast {there}, this is {here}", f"pip install 'routecast=={there}', or update the workers"))
    return found


async def clocks(config: Config, clock: Clock) -> list[Finding]:
    """By how much the clocks of this machine and of the leader differ from that of the brokers, by when a snapshot was made, appended and here."""
    if _seldom(config):
        raise Skipped(f"snapshots come every {config.intervals.snapshot_ms / 1000.0:g} s, which is too seldom to wait for one")
    async with reader(config.kafka) as read:
        found = [arrival async for arrival in _arrivals(config, clock, read, (await read.ends(SCORES, [0]))[0])]
    if not found:
        raise Skipped("no snapshot came")
    here_s = _least((one.here_ms - one.append_ms) / 1000.0 for one in found)
    leader_s = _least((one.snapshot.at_ms - one.append_ms) / 1000.0 for one in found)
    bad = [skew for skew in (_skew(here_s, "this machine"), _skew(leader_s, "the leader")) if skew]
    return bad or [Finding("ok", f"this machine and the brokers differ by at most {abs(here_s):.2f} s")]


def _least(differences: Iterable[float]) -> float:
    """That with the least delay in it."""
    return min(differences, key=abs)


def _skew(by_s: float, whose: str) -> Finding | None:
    if abs(by_s) < SKEW_S:
        return None
    what = f"the clock of {whose} is {span(abs(by_s))} {'ahead of' if by_s > 0 else 'behind'} that of the brokers"
    return Finding("failed" if abs(by_s) > _FAR_S else "warning", what, RIGHT_CLOCK)
