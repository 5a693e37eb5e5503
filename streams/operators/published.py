"""The newest of what leaders publish, read once: for people at a terminal. Routers follow it instead."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import asdict

from routecast.models.config import Config, Kafka, TargetConfig
from routecast.models.details import Details
from routecast.models.errors import RoutecastError
from routecast.models.snapshot import RoutingSnapshot, TargetScore, decode_snapshot
from routecast.models.targets import PolicyLine, PolicyLines, SnapshotAge, TargetFigures, TargetLine, TargetLines
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.brokers.reading import PartitionReader, decoded, reader
from routecast.streams.topics import DETAILS, SCORES, Topic

_STALE_PERIODS = 10
_SILENT = "no snapshot"


class Published(NamedTuple):
    """What was published last, by service."""

    snapshots: Mapping[str, RoutingSnapshot]
    details: Mapping[str, Details]


async def newest(config: Config) -> Published:
    """The newest snapshot and details of every service. Raises Unreachable, RoutecastError where the topics do not exist."""
    keys = [service.encode() for service in sorted(config.services)]
    async with reader(config.kafka) as read:
        await needed(read, config.kafka, SCORES, DETAILS)
        scores = (await read.newest(SCORES, keys))[0]
        details = (await read.newest(DETAILS, keys))[0]
    snapshots = {key.decode(): decoded(value, decode_snapshot) for key, value in scores.items() if key in keys}
    found = {key.decode(): decoded(value, Details.decode) for key, value in details.items() if key in keys}
    return Published({name: it for name, it in snapshots.items() if it}, {name: it for name, it in found.items() if it})


async def needed(read: PartitionReader, settings: Kafka, *topics: Topic) -> None:
    """Raises RoutecastError unless these topics exist."""
    for topic in topics:
        if not await read.partitions(topic):
            raise RoutecastError(f"topic {topic_name(settings, topic)!r} does not exist: `routecast topics create` makes it")


def lines(config: Config, published: Published, now_ms: float) -> TargetLines:
    """A line for every target that is configured or published, by service in the order of the file."""
    followed = {service: _policy(config, published, service).policy for service in config.services}
    return TargetLines(
        snapshots=ages(published, now_ms), targets=tuple(_line(target, entry, followed[target.service]) for target, entry in _targets(config, published))
    )


def figures(config: Config, published: Published, target: str, now_ms: float) -> TargetFigures:
    """Everything about one target. Raises RoutecastError, naming near ones, for one that is neither configured nor published."""
    pairs = {found.id: (found, entry) for found, entry in _targets(config, published)}
    if target not in pairs:
        raise RoutecastError(unknown(target, pairs))
    found, entry = pairs[target]
    snapshot, details = published.snapshots.get(found.service), published.details.get(found.service)
    line = _line(found, entry, _policy(config, published, found.service).policy)
    return TargetFigures(
        **line.model_dump(), snapshot=_age(snapshot, now_ms) if snapshot else None, figures=asdict(entry) if entry else {},
        details=next((subject for subject in details.targets if subject.id == target), None) if details else None,
        details_at_ms=details.at_ms if details else None,
    )  # fmt: skip


def policies(config: Config, published: Published, now_ms: float) -> PolicyLines:
    """The policy of every configured service: the operators' where they set one, else the configured one; and what `auto` stands for."""
    return PolicyLines(snapshots=ages(published, now_ms), services=tuple(_policy(config, published, service) for service in sorted(config.services)))


def _policy(config: Config, published: Published, service: str) -> PolicyLine:
    snapshot = published.snapshots.get(service)
    told, why = (snapshot.policy, snapshot.elected) if snapshot else ("", "")
    configured = config.routing_for(service).policy
    policy = "auto" if why else told or configured
    by_hand = bool(told) and not (why and configured == "auto")
    follows = told if why else "performance" if policy == "auto" else policy
    return PolicyLine(service=service, policy=policy, set_by="operator" if by_hand else "configuration", follows=follows, why=why)


def service_of(config: Config, published: Published, target: str) -> str | None:
    """The service of a target; None for one that is neither configured nor published."""
    return next((found.service for found, _ in _targets(config, published) if found.id == target), None)


def unknown(target: str, known: Mapping[str, object]) -> str:
    """What to tell a person who names a target that nobody knows."""
    near = difflib.get_close_matches(target, known, n=3, cutoff=0.5)
    return f"no target {target!r}; " + (f"did you mean {', '.join(map(repr, near))}?" if near else "`routecast targets list` lists them")


def known_targets(config: Config, published: Published) -> dict[str, object]:
    """Ids of all targets that are configured or published."""
    return {found.id: entry for found, entry in _targets(config, published)}


def _targets(config: Config, published: Published) -> list[tuple[TargetConfig, TargetScore | None]]:
    found: list[tuple[TargetConfig, TargetScore | None]] = []
    for service in sorted(config.services):
        snapshot = published.snapshots.get(service)
        entries = {entry.id: entry for entry in snapshot.targets} if snapshot else {}
        configured = config.targets_of(service)
        found += [(target, entries.pop(target.id, None)) for target in configured]
        found += [(TargetConfig(id=name, provider="-", model="-", service=service), entry) for name, entry in entries.items()]
    return found


def _line(target: TargetConfig, entry: TargetScore | None, policy: str) -> TargetLine:
    line = TargetLine(
        id=target.id, service=target.service, provider=target.provider, model=target.model, region=target.region, state=_SILENT, weight=target.weight,
        policy=policy,
    )  # fmt: skip
    if entry is None:
        return line
    shown = ("state", "share", "success", "time_s", "cost_s", "score", "weight")
    return line.model_copy(update={name: getattr(entry, name) for name in shown} | {"in_flight": round(entry.in_flight)})


def ages(published: Published, now_ms: float) -> tuple[SnapshotAge, ...]:
    """How old the newest snapshot of every service is."""
    return tuple(_age(snapshot, now_ms) for snapshot in published.snapshots.values())


def _age(snapshot: RoutingSnapshot, now_ms: float) -> SnapshotAge:
    age_ms = now_ms - snapshot.at_ms
    return SnapshotAge(
        service=snapshot.service, term=snapshot.term, seq=snapshot.seq, age_s=round(age_ms / 1000, 3), stale=age_ms > _STALE_PERIODS * snapshot.period_ms,
    )  # fmt: skip
