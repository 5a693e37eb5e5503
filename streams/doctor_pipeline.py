"""Checks of what runs: the leader and its versions, workers and their lag, clocks, events, targets, dead letters."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from importlib import metadata
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import TopicPartition

from routecast.models.config import Config, Kafka
from routecast.models.details import Details, SubjectDetails
from routecast.models.errors import DecodeError
from routecast.models.events import BadEvent, Event, decode_events
from routecast.models.snapshot import RoutingSnapshot, decode_snapshot
from routecast.models.tick import Claim, TickRecord, decode_tick
from routecast.streams.access import WORKERS
from routecast.streams.clock import Clock
from routecast.streams.doctor import Finding, Skipped
from routecast.streams.groups import GroupState, group_state
from routecast.streams.kafka import topic_name
from routecast.streams.memory import Record
from routecast.streams.reading import PartitionReader, decoded, reader
from routecast.streams.topics import DEADLETTER, DETAILS, EVENTS, SCORES, TICKS, Topic

LAST: Final = 100
"""Records of events that are looked at."""
_STALE_PERIODS: Final = 10
_PATIENCE_S: Final = 2.0
"""Beyond its period, how long a snapshot is waited for."""
_LONGEST_PERIOD_S: Final = 6.0
_SKEW_S: Final = 2.0
"""Clocks that differ by more are worth a word; routers and panes bear more."""
_FAR_S: Final = 60.0
"""Events further ahead are stamped anew, and snapshots look stale."""
_BEHIND_S: Final = 30.0
_TOLD: Final = 5
_HOUR_MS: Final = 3_600_000.0
_RIGHT_CLOCK: Final = "timedatectl set-ntp true"


async def leader(config: Config, clock: Clock) -> list[Finding]:
    """Whether every service has a snapshot that can be read and is fresh."""
    found: list[Finding] = []
    async with reader(config.kafka) as read:
        await _exists(read, config.kafka, SCORES)
        newest, _ = await read.newest(SCORES, [service.encode() for service in sorted(config.services)])
    fresh: list[str] = []
    for service in sorted(config.services):
        value = newest.get(service.encode())
        try:
            snapshot = decode_snapshot(value) if value is not None else None
        except DecodeError as error:
            found.append(Finding("failed", f"what is published for {service} cannot be read here ({error})", "have the same version of routecast everywhere"))
            continue
        if snapshot is None:
            found.append(Finding("failed", f"nothing was ever published for service {service}: no worker leads, or none with this configuration", _START))
        elif (age_s := (clock.now_ms() - snapshot.at_ms) / 1000.0) > _STALE_PERIODS * snapshot.period_ms / 1000.0:
            found.append(Finding("failed", f"the newest snapshot of {service} is {_span(age_s)} old: no worker leads", _START))
        else:
            fresh.append(f"{service} {snapshot.term}/{snapshot.seq}, {age_s:.1f} s old")
    return found or [Finding("ok", "; ".join(fresh))]


_START: Final = "routecast worker"


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
            return [Finding("failed", f"what the leader writes cannot be read here ({error})", "have the same version of routecast everywhere")]
    if tick is None:
        raise Skipped("the leader has said nothing yet")
    return _differences(config, tick, claim) or [Finding("ok", f"the leader has this configuration, {config.version}, and this version of routecast")]


def _differences(config: Config, tick: Claim | TickRecord, claim: object) -> list[Finding]:
    found: list[Finding] = []
    here = metadata.version("routecast")
    if tick.config_version != config.version:
        what = f"the leader runs with configuration {tick.config_version}, this one is {config.version}"
        found.append(Finding("warning", what, "start the workers anew with this file, or give the one they have: --config FILE"))
    there = claim.version if isinstance(claim, Claim) else ""
    if there not in {"", here}:
        found.append(Finding("warning", f"the leader is routecast {there}, this is {here}", f"pip install 'routecast=={there}', or update the workers"))
    return found


async def workers(config: Config, clock: Clock) -> list[Finding]:
    """How many workers there are, and how far behind the log they are."""
    group = await group_state(config.kafka, WORKERS)
    if not group.members:
        return [Finding("failed", f"no worker runs: the consumer group {config.kafka.prefix + WORKERS!r} has no members", _START)]
    async with reader(config.kafka) as read:
        behind, age_s = await lag(read, config.kafka, EVENTS, group, clock)
    said = f"{group.members} in the group ({group.state.lower()}), {behind} records behind"
    if behind and age_s > _BEHIND_S:
        return [Finding("warning", f"{said}: the oldest waits for {_span(age_s)}", f"{_START} --workers 2  # on another machine, as long as that helps")]
    return [Finding("ok", said)]


async def lag(read: PartitionReader, settings: Kafka, topic: Topic, group: GroupState, clock: Clock) -> tuple[int, float]:
    """Records of a topic that a group has not done yet, and how long the oldest of them has waited, s."""
    partitions = await read.partitions(topic)
    ends = await read.ends(topic, partitions)
    behind, oldest_s = 0, 0.0
    for partition in partitions:
        first = group.positions.get(TopicPartition(topic_name(settings, topic), partition), 0)
        behind += max(0, ends[partition] - first)
        async for record in read.stretch(topic, partition, first, ends[partition]):
            oldest_s = max(oldest_s, (clock.now_ms() - record.append_ms) / 1000.0)
            break
    return behind, oldest_s


async def clocks(config: Config, clock: Clock) -> list[Finding]:
    """By how much the clock of this machine differs from that of the brokers: a snapshot is waited for, and its append time compared."""
    snapshot, append_ms, now_ms = await _next_snapshot(config, clock)
    here_s, leader_s = (now_ms - append_ms) / 1000.0, (snapshot.at_ms - append_ms) / 1000.0
    found = [_skew(here_s, "this machine"), _skew(leader_s, "the leader")]
    return [bad for bad in found if bad] or [Finding("ok", f"this machine and the brokers differ by less than {max(abs(here_s), 0.1):.1f} s")]


async def _next_snapshot(config: Config, clock: Clock) -> tuple[RoutingSnapshot, float, float]:
    period_s = config.intervals.snapshot_ms / 1000.0
    if period_s > _LONGEST_PERIOD_S:
        raise Skipped(f"snapshots come every {period_s:g} s, which is too seldom to wait for one")
    async with reader(config.kafka) as read:
        begin = (await read.ends(SCORES, [0]))[0]
        with suppress(TimeoutError):
            async with asyncio.timeout(period_s + _PATIENCE_S):
                async for _, record in read.follow({SCORES: begin}, asyncio.Event()):
                    snapshot = decoded(record.value, decode_snapshot)
                    if snapshot is not None:
                        return snapshot, record.append_ms, clock.now_ms()
    raise Skipped("no snapshot came")


def _skew(by_s: float, whose: str) -> Finding | None:
    if abs(by_s) < _SKEW_S:
        return None
    what = f"the clock of {whose} is {_span(abs(by_s))} {'ahead of' if by_s > 0 else 'behind'} that of the brokers"
    return Finding("failed" if abs(by_s) > _FAR_S else "warning", what, _RIGHT_CLOCK)


class _Heard(NamedTuple):
    """What the last records of events hold, each event with when it was appended, epoch ms."""

    good: list[tuple[Event, float]]
    bad: list[BadEvent]


async def events(config: Config) -> list[Finding]:
    """Whether the last records of events can be read, who writes what cannot, and whose clock is wrong."""
    heard = _Heard([], [])
    async with reader(config.kafka) as read:
        await _exists(read, config.kafka, EVENTS)
        for record in await _last(read, EVENTS, LAST):
            good, bad = decode_events(record.value or b"")
            heard.good.extend((event, record.append_ms) for event in good)
            heard.bad.extend(bad)
    if not heard.good and not heard.bad:
        raise Skipped("nobody has reported anything yet: see docs/events.md")
    found = [_undecodable(emitter, items) for emitter, items in _by_emitter(heard.bad).items()][:_TOLD]
    return found + _ahead(heard) or [Finding("ok", f"the last {len(heard.good)} events can be read")]


def _by_emitter(bad: list[BadEvent]) -> dict[str, list[BadEvent]]:
    found: dict[str, list[BadEvent]] = {}
    for item in bad:
        try:
            told: Any = msgspec.json.decode(item.raw)
        except (msgspec.DecodeError, RecursionError):
            told = None
        emitter = told.get("emitter") if isinstance(told, dict) else None
        found.setdefault(str(emitter or "unknown"), []).append(item)
    return found


def _undecodable(emitter: str, items: list[BadEvent]) -> Finding:
    what = f"{len(items)} of the last events cannot be read, from emitter {emitter!r}: {items[-1].reason}"
    return Finding("warning", what, f"routecast tail deadletter --from {_TOLD}-back -n {_TOLD}  # then mend that program: see docs/events.md")


def _ahead(heard: _Heard) -> list[Finding]:
    """Emitters whose events are from the future: whose come late may just have waited for the log."""
    ahead: Counter[str] = Counter()
    for event, append_ms in heard.good:
        ahead[event.emitter or "unknown"] = max(ahead[event.emitter or "unknown"], int(event.at_ms - append_ms))
    return [
        Finding("warning", f"the clock of emitter {emitter!r} is {_span(ms / 1000.0)} ahead of that of the brokers", f"{_RIGHT_CLOCK}  # on its machine")
        for emitter, ms in ahead.most_common(_TOLD) if ms > _SKEW_S * 1000.0
    ]  # fmt: skip


async def targets(config: Config) -> list[Finding]:
    """Targets that are configured and never had a request, and those that had and are not configured."""
    async with reader(config.kafka) as read:
        await _exists(read, config.kafka, DETAILS)
        newest, _ = await read.newest(DETAILS, [service.encode() for service in sorted(config.services)])
    details = [record for value in newest.values() if (record := decoded(value, Details.decode)) is not None]
    if not details:
        raise Skipped("no details are published yet: they come every ten seconds")
    seen = {subject.id: subject for record in details for subject in record.targets if subject.started_total or subject.requests_total}
    configured = {target.id for target in config.target}
    if not seen:
        raise Skipped("no request was reported yet")
    found = [
        Finding("warning", f"target {name!r} had {subject.requests_total} requests and is not configured: nobody is routed to it", _entry(name, subject))
        for name, subject in list(seen.items())[:_TOLD] if name not in configured
    ]  # fmt: skip
    unseen = sorted(configured - set(seen))
    if unseen:
        what = f"{len(unseen)} of {len(configured)} configured targets never had a request: {', '.join(unseen[:_TOLD])}{' …' if unseen[_TOLD:] else ''}"
        found.append(Finding("warning", what, f"routecast targets show {unseen[0]}  # drained, too dear, or another name than the applications use?"))
    return found or [Finding("ok", f"all {len(configured)} targets had requests, and no others did")]


def _entry(name: str, subject: SubjectDetails) -> str:
    """What to add to the configuration, as it is to be typed."""
    values = {"id": name, "provider": subject.provider, "model": subject.model, "service": subject.service}
    return "\n".join(["[[target]]", *(f"{key} = {msgspec.json.encode(value or 'unknown').decode()}" for key, value in values.items())])


async def dead_letters(config: Config, clock: Clock) -> list[Finding]:
    """What went to the dead letters in the last hour, and why."""
    async with reader(config.kafka) as read:
        await _exists(read, config.kafka, DEADLETTER)
        end = (await read.ends(DEADLETTER, [0]))[0]
        first = await read.since(DEADLETTER, 0, clock.now_ms() - _HOUR_MS)
        newest = [record async for record in read.stretch(DEADLETTER, 0, max(first, end - 1), end)]
    if not newest:
        return [Finding("ok", "none in the last hour")]
    said = newest[-1].key.decode(errors="replace")[:200]
    return [Finding("warning", f"{end - first} in the last hour, the newest: {said}", f"routecast tail deadletter --from {_TOLD}-back -n {_TOLD}")]


async def _last(read: PartitionReader, topic: Topic, count: int) -> list[Record]:
    """The last records of all partitions, about so many."""
    partitions = await read.partitions(topic)
    each = -(-count // len(partitions))
    found: list[Record] = []
    for partition, end in (await read.ends(topic, partitions)).items():
        found += [record async for record in read.stretch(topic, partition, max(0, end - each), end)]
    return found


async def _exists(read: PartitionReader, settings: Kafka, topic: Topic) -> None:
    if not await read.partitions(topic):
        raise Skipped(f"there is no topic {topic_name(settings, topic)!r}")


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
