"""What a backtest plays: the events of a recording, or arrivals of a public trace at targets that answer as recorded providers did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from routecast.analytics.backtest.described import data_quality, fitted_targets, spell_rows
from routecast.analytics.backtest.fitted import fitted
from routecast.analytics.backtest.request_log import RecordedTraffic, RequestLog
from routecast.analytics.backtest.scene import Scene, recorded_scene
from routecast.models.backtest import FittedTarget, Quality, Source, SpellRow
from routecast.models.config import Config, TargetConfig
from routecast.models.errors import ConfigError
from routecast.streams.recordings.attempts import recorded_config, service_of
from routecast.streams.recordings.recording import Recording
from routecast.streams.recordings.replay import readable
from routecast.streams.topics import EVENTS

Told = Callable[[int, float], None]
"""Told how many events were read and the append time they have reached, epoch ms."""
_BYTES = 1 << 20


class Input(NamedTuple):
    """Everything that is played, and what is known of it."""

    source: Source
    config: Config
    """With the targets that are played alone."""
    scenes: tuple[Scene, ...]
    targets: tuple[FittedTarget, ...]
    spells: tuple[SpellRow, ...]
    quality: tuple[Quality, ...]
    traffic: RecordedTraffic | None
    """Of a recording."""


class Recorded(NamedTuple):
    """The events of a recording."""

    log: RequestLog
    config: Config | None
    bad: int
    """Events that could not be read."""


def read(path: Path, config: Config | None, tell: Told) -> Recorded:
    """Read all events of a recording once. `config` stands for the recorded one. Raises CheckFailed at a part that is damaged."""
    with Recording(path) as recording:
        known = config if config is not None else recorded_config(recording)
        log, events, bad = RequestLog({target.id: target.service for target in known.target} if known is not None else {}), 0, 0
        for partition in recording.partitions(EVENTS):
            for record in recording.records(EVENTS, partition):
                found, wrong = readable(record.value)
                for event in found:
                    log.add(event)
                events, bad = events + len(found), bad + len(wrong)
                tell(events, record.append_ms)
    return Recorded(log, known, bad)


def recording_played(path: Path, recorded: Recorded, service: str | None, seeds: Sequence[int], most: int) -> Input:
    """Fit the targets of a recording and lay out a scene for every seed.

    Raises CheckFailed where it holds too little to fit, ConfigError where one of several services must be named.
    """
    log = recorded.log
    name = service_of(service, recorded.config, log.services)
    traffic = log.traffic(name)
    configs = {target.id: target for target in recorded.config.targets_of(name)} if recorded.config is not None else {}
    fits = fitted(traffic, configs)
    scenes = tuple(recorded_scene(name, traffic, fits, configs, most, seed) for seed in seeds)
    requests = scenes[0].requests
    source = Source(
        kind="recording", name=path.name, digest=digest(path), service=name, from_ms=requests.start_ms, until_ms=requests.end_ms, requests=len(requests),
        routers=requests.routers,
    )  # fmt: skip
    config = service_config(recorded.config, name, [one.target for one in fits.targets])
    quality = data_quality(log, traffic, fits, recorded.bad, configured=recorded.config is not None)
    return Input(source, config, scenes, fitted_targets(fits, scenes[0]), spell_rows(scenes[0]), quality, traffic)


def service_config(config: Config | None, service: str, targets: Sequence[str]) -> Config:
    """The configuration with these targets of this service alone; one made up of their names where none was recorded."""
    if config is None:
        return Config.model_validate({"target": [{"id": name, "provider": name, "model": "unknown", "service": service} for name in targets]})
    kept = tuple(target for target in config.target if target.id in targets and target.service == service)
    strangers = tuple(TargetConfig(id=name, provider=name, model="unknown", service=service) for name in targets if name not in {t.id for t in kept})
    overrides = {name: values for name, values in config.service.items() if name == service}
    return config.model_copy(update={"target": kept + strangers, "service": overrides})


def candidate_config(config: Config, path: Path, played: Input) -> Config:
    """A configuration under test, with the targets of the service alone. Raises ConfigError where it has targets that were never recorded."""
    mine = [target.id for target in config.targets_of(played.source.service)]
    if not mine:
        raise ConfigError(f"{str(path)!r} has no targets of service {played.source.service!r}: give them, with the ids of the recording")
    if unknown := sorted(set(mine) - set(played.scenes[0].names)):
        there = ", ".join(played.scenes[0].names)
        raise ConfigError(f"{str(path)!r}: nothing is known of {', '.join(map(repr, unknown))}, only of {there}: a target is played as it was recorded")
    return service_config(config, played.source.service, mine)


def digest(path: Path) -> str:
    """The first twelve hexadecimal digits of the file's SHA-256."""
    found = sha256()
    with path.open("rb") as file:
        while data := file.read(_BYTES):
            found.update(data)
    return found.hexdigest()[:12]
