"""Labelled incidents as people write them: a target, from when to when, and what it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from routecast.models.backtest import Incident
from routecast.models.errors import ConfigError

_KEYS: Final = {"target", "from", "to", "kind"}
_EPOCH: Final = 1e10
"""Numbers from here on are epoch milliseconds, smaller ones seconds since the first request."""


def incidents(table: object, start_ms: float, targets: Sequence[str]) -> tuple[Incident, ...]:
    """The incidents of a labels file: a list of tables, or a table that has one under `incident`.

    `start_ms` is the first request's time, epoch ms. Raises ConfigError naming the entry that is wrong, and what is allowed.
    """
    entries = table.get("incident") if isinstance(table, Mapping) else table
    if not isinstance(entries, list):
        raise ConfigError("labels: no list of incidents; write [[incident]] tables (TOML) or a list of objects (JSON) with target, from, to and kind")
    return tuple(_incident(entry, number, start_ms, targets) for number, entry in enumerate(entries, 1))


def _incident(entry: Any, number: int, start_ms: float, targets: Sequence[str]) -> Incident:
    if not isinstance(entry, Mapping) or entry.keys() - _KEYS or not {"target", "from", "to"} <= entry.keys():
        raise ConfigError(f"labels: incident {number} is {entry!r}; it needs target, from, to, and may have kind")
    if entry["target"] not in targets:
        raise ConfigError(f"labels: incident {number}: there is no target {entry['target']!r}; there are {', '.join(targets)}")
    from_ms, until_ms = (_ms(entry[key], number, key, start_ms) for key in ("from", "to"))
    if until_ms < from_ms:
        raise ConfigError(f"labels: incident {number} ends before it begins: give from ≤ to")
    return Incident(target=entry["target"], from_ms=from_ms, until_ms=until_ms, kind=str(entry.get("kind", "any")))


def _ms(value: object, number: int, key: str, start_ms: float) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if value >= _EPOCH else start_ms + float(value) * 1000.0
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ConfigError(
            f"labels: incident {number}: {key} is {value!r}; write a time (2025-01-31T12:00:00Z), epoch milliseconds or seconds since the first request"
        ) from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp() * 1000.0
