"""All checks of `routecast doctor`, in the order in which they matter, and whom each concerns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from routecast.dashboards.doctor import influx
from routecast.dashboards.doctor.grafana import grafana
from routecast.models.config import Config
from routecast.streams.brokers.access import Role
from routecast.streams.brokers.kafka import addressed
from routecast.streams.clock import Clock
from routecast.streams.doctor import kafka, leader, machine, pipeline
from routecast.streams.doctor.examination import Check, Finding

Ask = Callable[[Config], Awaitable[Sequence[Finding]]]

CONCERNS: Final[Mapping[Role, frozenset[str]]] = {
    "emitter": frozenset({"topics", "access"}),
    "router": frozenset({"round trip", "topics", "access", "leader", "clocks"}),
    "worker": frozenset({"round trip", "topics", "access", "webhook"}),
    "sink": frozenset({"round trip", "topics", "access", "influx", "sink token", "sink"}),
    "operator": frozenset({
        "round trip", "topics", "access", "leader", "versions", "workers", "clocks", "events", "targets", "dead letters", "webhook", "influx",
        "sink token", "readers token", "sink", "grafana",
    }),
}  # fmt: skip
"""Beside what concerns everybody; without a role everything is looked at, as for an operator."""
_EVERYBODY: Final = frozenset({"packages", "configuration", "broker", "listeners"})


def checks(
    role: Role | None, file: Path | None, environ: Mapping[str, str], url: str | None, clock: Clock, *, exported: Path | None = None,
) -> list[Check]:  # fmt: skip
    """What to look at for this role.

    Args:
        role: whose needs; None: everything.
        file: the configuration; None: ./routecast.toml.
        environ: variables on top of it.
        url: `kafka://…` in place of its brokers.
        clock: of this machine.
        exported: a folder of dashboards for Grafana; None: there is nothing to look at.
    """
    read = machine.Configured(file, environ, lambda config: addressed(config, url))

    def configured(ask: Ask) -> Callable[[], Awaitable[Sequence[Finding]]]:
        return lambda: ask(read.config)

    async def packages() -> Sequence[Finding]:
        return machine.packages(role, machine.installed())

    on_broker, on_influx = ("listeners",), ("influx",)
    asked: list[tuple[str, tuple[str, ...], Ask]] = [
        ("broker", ("configuration",), lambda c: kafka.broker(c.kafka, clock)),
        ("listeners", ("broker",), lambda c: kafka.listeners(c.kafka)),
        ("round trip", on_broker, lambda c: kafka.round_trip(c.kafka, role, clock)),
        ("topics", on_broker, lambda c: kafka.shapes(c.kafka, role)),
        ("access", on_broker, lambda c: kafka.access(c.kafka, role)),
        ("leader", on_broker, lambda c: leader.leader(c, clock)),
        ("versions", ("leader",), leader.versions),
        ("workers", on_broker, lambda c: pipeline.workers(c, clock)),
        ("clocks", ("leader",), lambda c: leader.clocks(c, clock)),
        ("events", on_broker, pipeline.events),
        ("targets", ("leader",), pipeline.targets),
        ("dead letters", on_broker, lambda c: pipeline.dead_letters(c, clock)),
        ("webhook", ("configuration",), machine.webhook),
        ("influx", ("configuration",), lambda c: influx.influx(c.influx, role)),
        ("sink token", on_influx, lambda c: influx.sink_token(c.influx)),
        ("readers token", on_influx, lambda c: influx.readers_token(c.influx)),
        ("sink", on_broker, lambda c: influx.sink(c, role, clock)),
    ]
    if exported is not None:
        asked.append(("grafana", ("configuration",), lambda _: grafana(exported)))
    concerning = _EVERYBODY | CONCERNS[role or "operator"]
    first = [Check("packages", packages), Check("configuration", read.check)]
    return first + [Check(name, configured(ask), needs) for name, needs, ask in asked if name in concerning]
