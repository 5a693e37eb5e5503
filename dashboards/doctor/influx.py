"""Checks of InfluxDB and of the sink: server and version, what both tokens may do, buckets and retention, how far behind the sink is."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from routecast.dashboards.points.translation import READ
from routecast.models.config import Config, Influx
from routecast.models.errors import ConfigError, Unreachable
from routecast.models.influx import Finding as InfluxFinding
from routecast.streams.brokers.access import SINK, Role
from routecast.streams.brokers.groups import group_state
from routecast.streams.brokers.reading import reader
from routecast.streams.clock import Clock
from routecast.streams.doctor.examination import Finding, Skipped, failure, in_thread
from routecast.streams.doctor.pipeline import lag

_ANSWER_S: Final = 5.0
_BEHIND_S: Final = 60.0
"""The sink stores within two seconds when it is well."""
_MOST: Final = 100_000


async def influx(settings: Influx, role: Role | None) -> list[Finding]:
    """Whether an InfluxDB 2 answers. Where no token is in place nobody uses one, unless this is to be a sink."""
    if role != "sink" and not _used(settings):
        raise Skipped(f"no InfluxDB is set up here: {settings.token_file!r} does not exist, see docs/influxdb.md")
    version = await in_thread(lambda: _version(settings))
    if not version.startswith("2."):
        return [Finding("failed", f"at {settings.url} is InfluxDB {version}", "have influx.url name an InfluxDB 2: tokens and buckets are its own")]
    return [Finding("ok", f"InfluxDB {version} at {settings.url}")]


def _used(settings: Influx) -> bool:
    return Path(settings.token_file).exists() or Path(settings.read_token_file).exists()


def _version(settings: Influx) -> str:
    address = f"{settings.url.rstrip('/')}/health"
    try:
        with urllib.request.urlopen(address, timeout=_ANSWER_S) as answer:  # noqa: S310 - the configured address
            told = json.loads(answer.read(_MOST))
            return str(told["version"]).removeprefix("v")
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = str(error.reason) if isinstance(error, urllib.error.URLError) else str(error)
        raise Unreachable(f"InfluxDB at {settings.url!r} cannot be reached ({reason}): check influx.url, and that it runs") from error


async def sink_token(settings: Influx) -> list[Finding]:
    """Whether the sink's token may write to every bucket, and nothing else. Raises ConfigError without a token."""
    return await _asked(settings, "write", settings.token_file, "token_file")


async def readers_token(settings: Influx) -> list[Finding]:
    """Whether the token of Grafana may read every bucket and nothing else, and how long buckets keep what they are given."""
    return await _asked(settings, "read", settings.read_token_file, "read_token_file")


async def _asked(settings: Influx, role: str, file: str, key: str) -> list[Finding]:
    if find_spec("influxdb_client") is None:
        raise Skipped("needs the client of InfluxDB: pip install 'routecast[dashboards]'")
    from routecast.dashboards.influx.administration import findings  # noqa: PLC0415
    from routecast.dashboards.influx.connection import token_of  # noqa: PLC0415 - after the check that the extra is there

    try:
        token = token_of(file, key)
    except ConfigError as error:
        return [failure(error)._replace(fix=f"routecast influx init --save  # or copy {file} from where it is; a token that is lost: --renew --save")]
    found = [item for item in await in_thread(lambda: findings(settings, {"write": token} if role == "write" else {"read": token})) if not _server(item)]
    wrong = [Finding("failed", f"{item.what}: no{f' ({item.detail})' if item.detail else ''}", item.mend) for item in found if not item.ok]
    return wrong or [Finding("ok", f"the token in {file!r} may do what it must, and no more")]


def _server(item: InfluxFinding) -> bool:
    return item.what.startswith("server ")


async def sink(config: Config, role: Role | None, clock: Clock) -> list[Finding]:
    """How far behind the log the sink is."""
    group = await group_state(config.kafka, SINK)
    if not group.positions:
        if role == "sink":
            return [Finding("failed", "no sink has ever stored anything", "routecast sink")]
        raise Skipped("no sink has ever stored anything: `routecast sink` does")
    behind, oldest_s = 0, 0.0
    async with reader(config.kafka) as read:
        for topic in READ:
            records, age_s = await lag(read, config.kafka, topic, group, clock)
            behind, oldest_s = behind + records, max(oldest_s, age_s)
    said = f"{behind} records are not stored yet, the oldest for {oldest_s:.0f} s"
    return [Finding("failed", said, "routecast sink") if oldest_s > _BEHIND_S else Finding("ok", said)]
