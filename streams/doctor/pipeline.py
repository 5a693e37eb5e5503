"""Checks of what goes through the pipeline: workers and their lag, events and the clocks of their emitters, targets, dead letters."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import TopicPartition

from routecast.models.config import Config, Kafka
from routecast.models.details import Details, SubjectDetails
from routecast.models.events import BadEvent, Event, decode_events
from routecast.streams.brokers.access import WORKERS
from routecast.streams.brokers.groups import GroupState, group_state
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.brokers.reading import PartitionReader, decoded, reader
from routecast.streams.clock import Clock
from routecast.streams.doctor.examination import RIGHT_CLOCK, START, Finding, Skipped, existing, span
from routecast.streams.doctor.leader import SKEW_S
from routecast.streams.memory import Record
from routecast.streams.topics import DEADLETTER, DETAILS, EVENTS, Topic

LAST: Final = 100
"""Records of events that are looked at."""
_BEHIND_S: Final = 30.0
_TOLD: Final = 5
_HOUR_MS: Final = 3_600_000.0
_SHOW: Final = "routecast tail deadletter --from 1-back -n 1"


async def workers(config: Config, clock: Clock) -> list[Finding]:
    """How many workers there are, and how far behind the log they are."""
    group = await group_state(config.kafka, WORKERS)
    if not group.members:
        return [Finding("failed", f"no worker runs: the consumer group {config.kafka.prefix + WORKERS!r} has no members", START)]
    async with reader(config.kafka) as read:
        behind, age_s = await lag(read, config.kafka, EVENTS, group, clock)
    said = f"{group.members} in the group ({group.state.lower()}), {behind} records behind"
    if behind and age_s > _BEHIND_S:
        return [Finding("warning", f"{said}: the oldest waits for {span(age_s)}", f"{START} --workers 2  # on another machine, as long as that helps")]
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


class _Heard(NamedTuple):
    """What the last records of events hold, each event with when it was appended, epoch ms."""

    good: list[tuple[Event, float]]
    bad: list[BadEvent]


async def events(config: Config) -> list[Finding]:
    """Whether the last records of events can be read, who writes what cannot, and whose clock is wrong."""
    heard = _Heard([], [])
    async with reader(config.kafka) as read:
        await existing(read, config.kafka, EVENTS)
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
    return Finding("warning", what, f"{_SHOW}  # then mend that program: see docs/events.md")


def _ahead(heard: _Heard) -> list[Finding]:
    """Emitters whose events are from the future: whose come late may just have waited for the log."""
    ahead: Counter[str] = Counter()
    for event, append_ms in heard.good:
        ahead[event.emitter or "unknown"] = max(ahead[event.emitter or "unknown"], int(event.at_ms - append_ms))
    return [
        Finding("warning", f"the clock of emitter {emitter!r} is {span(ms / 1000.0)} ahead of that of the brokers", f"{RIGHT_CLOCK}  # on its machine")
        for emitter, ms in ahead.most_common(_TOLD) if ms > SKEW_S * 1000.0
    ]  # fmt: skip


async def targets(config: Config) -> list[Finding]:
    """Targets that are configured and never had a request, and those that had and are not configured."""
    async with reader(config.kafka) as read:
        await existing(read, config.kafka, DETAILS)
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
        await existing(read, config.kafka, DEADLETTER)
        end = (await read.ends(DEADLETTER, [0]))[0]
        first = await read.since(DEADLETTER, 0, clock.now_ms() - _HOUR_MS)
        newest = [record async for record in read.stretch(DEADLETTER, 0, max(first, end - 1), end)]
    if not newest:
        return [Finding("ok", "none in the last hour")]
    said = newest[-1].key.decode(errors="replace")[:200]
    return [Finding("warning", f"{end - first} in the last hour, the newest: {said}", _SHOW)]


async def _last(read: PartitionReader, topic: Topic, count: int) -> list[Record]:
    """The last records of all partitions, about so many."""
    partitions = await read.partitions(topic)
    each = -(-count // len(partitions))
    found: list[Record] = []
    for partition, end in (await read.ends(topic, partitions)).items():
        found += [record async for record in read.stretch(topic, partition, max(0, end - each), end)]
    return found
