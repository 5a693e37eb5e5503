"""Checks of the brokers: reach them, log in, the addresses they advertise, a round trip, topics, and what this login may do."""

from __future__ import annotations

import asyncio
import statistics
from typing import Final

from aiokafka.errors import KafkaError

from routecast.models.config import Kafka, Security
from routecast.models.errors import RoutecastError, Unreachable
from routecast.streams.brokers.access import ACCESS, ROLES, Role, rules
from routecast.streams.brokers.admin import administrator, topics
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.brokers.reading import reader
from routecast.streams.brokers.rights import Node, Rights, nodes, rights
from routecast.streams.clock import Clock
from routecast.streams.doctor.examination import Finding, Skipped, existing
from routecast.streams.topics import ALL, CONTROL, DETAILS, SCORES, Topic

_KNOCK_S: Final = 3.0
_SLOW_MS: Final = 250.0
"""A round trip that takes longer makes trips and drains late."""
_TRIPS: Final = 5
_SEEN_BY: Final[dict[Role, Topic]] = {"router": SCORES, "worker": CONTROL, "sink": SCORES, "operator": DETAILS}
"""A topic that a role may read."""
_PROTOCOLS: Final[tuple[Security, ...]] = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MISUNDERSTOOD: Final = ("ends the connection", "TLS fails", "takes no login", "asks for a client certificate")
"""What is said of an address that speaks another protocol."""


async def broker(settings: Kafka, clock: Clock) -> list[Finding]:
    """Connect and log in. Where the address speaks another protocol, which one."""
    began_s = clock.monotonic_s()
    try:
        count = len(await nodes(settings))
    except Unreachable as error:
        spoken = await _spoken(settings) if any(words in str(error) for words in _MISUNDERSTOOD) else None
        if spoken is None:
            raise
        text = f"Kafka at {settings.bootstrap!r} does not speak {settings.security_protocol}, but {spoken}"
        raise Unreachable(f'{text}; set security_protocol = "{spoken}" in [kafka]') from error
    took_ms = (clock.monotonic_s() - began_s) * 1000.0
    login = f" as {settings.username!r}" if settings.security_protocol.startswith("SASL") else ""
    return [Finding("ok", f"cluster of {count} at {settings.bootstrap}, {settings.security_protocol}{login}, connected in {took_ms:.0f} ms")]


async def _spoken(settings: Kafka) -> Security | None:
    """A protocol in which the address answers; only those with a login where one is configured."""
    for protocol in _PROTOCOLS:
        if protocol == settings.security_protocol or (protocol.startswith("SASL") and not (settings.username and settings.password_file)):
            continue
        if await _speaks(settings.model_copy(update={"security_protocol": protocol})):
            return protocol
    return None


async def _speaks(settings: Kafka) -> bool:
    """Whether it understands us, even if it does not let us in."""
    try:
        async with asyncio.timeout(_KNOCK_S):
            await nodes(settings)
    except (RoutecastError, KafkaError, OSError) as error:
        return f"user {settings.username!r} is refused" in str(error)
    return True


async def listeners(settings: Kafka) -> list[Finding]:
    """Whether each broker can be reached under the address that it advertises: clients use that one for everything but the first question."""
    known = await nodes(settings)
    unreachable = [reason for reason in await asyncio.gather(*map(_knock, known)) if reason]
    if unreachable:
        fix = "have the broker advertise an address that this machine reaches (`advertised.listeners` in its server.properties), and restart it"
        return [Finding("failed", reason, fix) for reason in unreachable]
    return [Finding("ok", "advertised as " + ", ".join(f"{node.host}:{node.port}" for node in known))]


async def _knock(node: Node) -> str:
    try:
        async with asyncio.timeout(_KNOCK_S):
            _, writer = await asyncio.open_connection(node.host, node.port)
    except (OSError, TimeoutError) as error:
        return f"broker {node.id} advertises {node.host}:{node.port}, which cannot be reached from here ({str(error) or 'no answer'})"
    writer.close()
    return ""


async def round_trip(settings: Kafka, role: Role | None, clock: Clock) -> list[Finding]:
    """How long the leader of a partition takes to answer where it ends: what every other request takes at least."""
    topic = _SEEN_BY.get(role or "operator")
    if topic is None:
        raise Skipped("an emitter may read nothing")
    took_ms: list[float] = []
    async with reader(settings) as read:
        await existing(read, settings, topic)
        for _ in range(_TRIPS):
            began_s = clock.monotonic_s()
            await read.ends(topic, [0])
            took_ms.append((clock.monotonic_s() - began_s) * 1000.0)
    middle_ms = statistics.median(took_ms)
    said = f"{middle_ms:.1f} ms (median of {_TRIPS}; most {max(took_ms):.1f} ms)"
    slow = Finding("warning", f"{said}: drains and trips come late", "run it nearer to the brokers, or see whether they are overloaded")
    return [slow if middle_ms > _SLOW_MS else Finding("ok", said)]


async def shapes(settings: Kafka, role: Role | None) -> list[Finding]:
    """Whether the topics that concern this role exist and are as they must be, each difference with the command that mends it."""
    found: list[Finding] = []
    used = {name for grant in ACCESS[role] for name in grant.names} if role is not None else set(ALL)
    states = [state for state in await topics(settings) if state.topic in used]
    missing = [state.name for state in states if not state.exists]
    if missing:
        found.append(Finding("failed", f"{len(missing)} topics do not exist, or this login may not see them: {', '.join(missing)}", "routecast topics create"))
    for state in states:
        for item in state.differences if state.exists else ():
            if "may not be read" in item.what:
                continue  # the settings are an operator's business
            found.append(Finding("warning" if "replication" in item.what else "failed", f"{state.name} {item.what}", item.mend))
    unreadable = [state.name for state in states if "?" in state.settings.values()]
    if unreadable and not found:
        return [Finding("skipped" if role != "operator" else "failed", f"this login may not read the settings of {len(unreadable)} topics: an operator's may")]
    return found or [Finding("ok", f"{len(states)} topics are as they must be, replication {min(state.replication for state in states)}")]


async def access(settings: Kafka, role: Role | None) -> list[Finding]:
    """What of its role this login may not do, by what the brokers say themselves; without a role, which roles it may fill."""
    grouped = {name for grants in ACCESS.values() for grant in grants if grant.resource == "group" for name in grant.names}
    async with administrator(settings) as client:
        may = await rights(client, [topic_name(settings, topic) for topic in ALL], [settings.prefix + name for name in sorted(grouped)])
    if role is not None:
        return _short_of(settings, role, may) or [Finding("ok", f"this login may do what the role {role} needs")]
    filled = [known for known in ROLES if not may.lacks(settings, known)]
    if filled:
        return [Finding("ok", f"this login may do what these roles need: {', '.join(filled)}")]
    return [Finding("warning", "this login may do what none of the roles needs in full", "routecast access --user " + (settings.username or "NAME"))]


def _short_of(settings: Kafka, role: Role, may: Rights) -> list[Finding]:
    allow = {(rule.resource, rule.names): rule.command for rule in rules(settings, [role], settings.username or "NAME").rules}
    return [
        Finding(
            "failed",
            f"this login may not {' and '.join(grant.operations)} {grant.resource} {', '.join(settings.prefix + name for name in short)}",
            allow[grant.resource, tuple(settings.prefix + name for name in grant.names)],
        )
        for grant, short in may.lacks(settings, role)
    ]
