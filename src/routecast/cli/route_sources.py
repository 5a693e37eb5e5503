"""Where `routecast route explain` has its snapshot from: the brokers, a recording, a file, or nowhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from routecast.cli.kafka import ask, configured
from routecast.cli.names import require
from routecast.cli.render import complain
from routecast.cli.targets import warn_of_silence

if TYPE_CHECKING:
    from routecast.models.config import Config
    from routecast.models.snapshot import RoutingSnapshot
    from routecast.streams.clock import Clock


class Seen(NamedTuple):
    """What a router would know."""

    config: Config
    service: str
    snapshot: RoutingSnapshot | None
    """None: the configuration alone."""
    clock: Clock


def recorded(file: Path, config: Path | None, at_s: float | None, service: str | None) -> Seen:
    """Of a recording: what its leaders published last, or last before this many seconds after its beginning."""
    from routecast.dashboards.terminal.journal import Journal  # noqa: PLC0415 - slow to import
    from routecast.dashboards.terminal.recorded import film_of  # noqa: PLC0415
    from routecast.streams.clock import FixedClock  # noqa: PLC0415
    from routecast.streams.configuration import load_config  # noqa: PLC0415

    film = film_of(file, load_config(config, os.environ) if config is not None else None)
    journal, until_ms = Journal(film.config), film.last_ms if at_s is None else film.first_ms + at_s * 1000.0
    frames = film.open()
    for frame in frames:
        if frame.at_ms > until_ms:
            break
        for topic, record in frame.records:
            journal.take(topic, record)
    frames.close()
    name = _service(film.config, service)
    snapshot = journal.snapshots.get(name)
    return Seen(film.config, name, snapshot, FixedClock(snapshot.at_ms if snapshot else film.first_ms))


def of_file(file: Path, config: Path | None, service: str | None) -> Seen:
    """One routing snapshot as JSON."""
    from routecast.models.errors import ConfigError  # noqa: PLC0415 - slow to import
    from routecast.models.snapshot import decode_snapshot  # noqa: PLC0415
    from routecast.streams.clock import FixedClock  # noqa: PLC0415
    from routecast.streams.configuration import load_config  # noqa: PLC0415

    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{str(file)!r} cannot be read: {error.strerror}; give a file with one routing snapshot as JSON") from None
    loaded, snapshot = load_config(config, os.environ), decode_snapshot(data)
    return Seen(loaded, _service(loaded, service or snapshot.service), snapshot, FixedClock(snapshot.at_ms))


def live(config: Path | None, kafka: str | None, service: str | None, *, offline: bool) -> Seen:
    """The newest snapshot on the brokers, where there are any in the configuration; the clock is this machine's, so that it can be too old."""
    from routecast.models.errors import Unreachable  # noqa: PLC0415 - slow to import
    from routecast.streams.clock import SystemClock  # noqa: PLC0415
    from routecast.streams.operators.published import ages, newest  # noqa: PLC0415

    loaded, clock = configured(config, kafka), SystemClock()
    name = _service(loaded, service)
    if offline or "kafka" not in loaded.model_fields_set:
        if not offline:
            complain("no brokers are configured: this is what the configuration alone says, with no figure of any target")
        return Seen(loaded, name, None, clock)
    try:
        published = ask(loaded.kafka, newest(loaded))
    except Unreachable as error:
        raise Unreachable(f"{error}; --offline explains by the configuration alone") from None
    warn_of_silence(loaded, ages(published, clock.now_ms()))
    return Seen(loaded, name, published.snapshots.get(name), clock)


def _service(config: Config, asked: str | None) -> str:
    from routecast.models.errors import ConfigError  # noqa: PLC0415 - slow to import

    services = sorted(config.services)
    if asked is not None:
        require("service", [asked], services)
        return asked
    if len(services) != 1:
        raise ConfigError(f"which service? The configuration has {', '.join(services)}: give --service")
    return services[0]
