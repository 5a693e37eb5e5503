"""In which order snapshots named the targets of a service, as far as a recording tells: masks of candidates are read with it."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

from routecast.models.config import Config
from routecast.streams.recordings.recording import Recording
from routecast.streams.recordings.verification import ticks
from routecast.streams.topics import STATE

_CONFIG = b"config/"


def recorded_orders(recording: Recording) -> Callable[[tuple[int, int], str], tuple[str, ...]]:
    """(term, seq) and a service → its targets in the order of that snapshot.

    That is the order of the configuration under which it was published; of the newest one for a snapshot whose tick is not in the file. Targets
    that no configuration names stand behind those in snapshots; they are left out.
    """
    configs: dict[str, Config] = {}
    newest = ""
    for record in recording.records(STATE, 0):
        if record.key.startswith(_CONFIG) and record.value is not None and (config := _readable(record.value)) is not None:
            newest = record.key.removeprefix(_CONFIG).decode(errors="replace")
            configs[newest] = config
    versions = {(tick.term, tick.seq): tick.config_version for tick in ticks(recording)} if len(configs) > 1 else {}
    orders: dict[tuple[str, str], tuple[str, ...]] = {}

    def order(snapshot: tuple[int, int], service: str) -> tuple[str, ...]:
        key = versions.get(snapshot, newest), service
        if key not in orders:
            config = configs.get(key[0])
            orders[key] = tuple(target.id for target in config.targets_of(service)) if config else ()
        return orders[key]

    return order


def _readable(value: bytes) -> Config | None:
    try:
        return Config.model_validate_json(value)
    except ValidationError:
        return None
