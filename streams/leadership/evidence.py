"""The evidence by which `auto` is chosen: the newest stretch of the log, its decisions and their snapshots, and what they say of each policy.

Delivery: reads without a group and commits nothing. Memory and time follow from `ElectionInput.stretch_ms`; of a service at most 20 million cells of
decisions × targets are looked at, the newest.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.evaluation.decisions import logged_decisions
from routecast.analytics.evaluation.elect import elect, stay
from routecast.analytics.evaluation.evaluate import evaluate
from routecast.analytics.evaluation.policies import TargetPolicy
from routecast.analytics.evaluation.snapshot_policies import performance, weighted
from routecast.analytics.tables.columns import Cells, Codes
from routecast.analytics.tables.decisions import DecisionColumns
from routecast.analytics.tables.pairing import Pairing
from routecast.models.config import Config
from routecast.models.election import ELECTABLE, Electable, Election, ElectionInput, Elections
from routecast.models.errors import CheckFailed
from routecast.streams.brokers.reading import reader
from routecast.streams.leadership.newest import NEWEST, write_newest
from routecast.streams.memory import MemoryLog
from routecast.streams.recordings.decisions import Snapshots, decision_batches, recorded_snapshots
from routecast.streams.recordings.orders import recorded_orders
from routecast.streams.recordings.recorder import Recorder
from routecast.streams.recordings.recording import Recording, RecordingWriter

Table = Mapping[str, NDArray[Any]]

COLUMNS: Final = (
    "request_id", "attempt", "started_at", "ended_at", "service", "target", "policy", "term", "seq", "propensity", "allowed", "forced", "outcome",
    "caller_fault", "cost_usd", "quality", "input_tokens", "max_output_tokens",
)  # fmt: skip
"""Of the table `decisions`, what is looked at."""
_MOST_CELLS = 20_000_000
_SETTLE = np.timedelta64(60, "s")
"""Requests this new may be under way still, the slow ones above all."""


async def elections(asked: ElectionInput) -> Elections:
    """Read the log, and choose for each service. Raises RoutecastError where the log cannot be read."""
    path, settings = Path(asked.folder) / NEWEST, asked.config.kafka
    if asked.recorded:
        return Elections(elections=tuple(elected(path, asked.config, asked.following)))
    async with reader(settings) as read:
        with RecordingWriter(path, settings.prefix) as out:
            recorder = Recorder(read, out, "oldest", asked.stretch_ms)
            await recorder.begin()
            await recorder.copy()
    return Elections(elections=tuple(elected(path, asked.config, asked.following)))


def elected_at_once(log: MemoryLog, config: Config, following: Mapping[str, str], stretch_ms: float) -> tuple[Election, ...]:
    """By the newest stretch of an embedded log, here and now, for seconds: where time is virtual. Equal logs give equal elections."""
    with tempfile.TemporaryDirectory(prefix="routecast-election-") as folder:
        write_newest(log, config, Path(folder) / NEWEST, stretch_ms)
        return tuple(elected(Path(folder) / NEWEST, config, following))


def elected(path: Path, config: Config, following: Mapping[str, str]) -> list[Election]:
    """What a recording says of these services, each with the policy that it follows."""
    with Recording(path) as recording:
        table = decisions(recording, config)
        snapshots = recorded_snapshots(recording)
    return [_election(table, snapshots.get(service, {}), config, service, policy) for service, policy in sorted(following.items())]


def decisions(recording: Recording, config: Config) -> dict[str, NDArray[Any]]:
    """The columns of the table `decisions` that are looked at; texts are objects, None where unknown."""
    columns, pairing = DecisionColumns({target.id: target for target in config.target}, recorded_orders(recording)), Pairing()
    parts: dict[str, list[Cells]] = {name: [] for name in COLUMNS}
    for batch in decision_batches(recording, pairing, columns):
        for name, cells in parts.items():
            cells.append(batch[name])
    return {name: _column(cells, columns.codes.get(name)) for name, cells in parts.items()}


def _column(parts: list[Cells], codes: Codes | None) -> NDArray[Any]:
    cells = np.concatenate([np.asarray(part, object) if isinstance(part, list) else part for part in parts])
    return cells if codes is None else np.array([*codes.names, None], object)[cells]  # −1, nothing, is the last


def _election(table: Table, snapshots: Snapshots, config: Config, service: str, in_force: str) -> Election:
    targets, routing = config.targets_of(service), config.routing_for(service)
    policies: dict[Electable, Callable[[], TargetPolicy]] = {
        "performance": lambda: performance(snapshots, targets, routing, random.Random(0)),
        "weighted": lambda: weighted(snapshots),
    }
    try:
        logged = logged_decisions(of_policy(table, service, in_force, _MOST_CELLS // len(targets)), service)
        found = [evaluate(logged, name, policies[name]()) for name in ELECTABLE if name != in_force]
    except CheckFailed as error:
        return stay(service, in_force, f"the log does not tell: {error}")
    return elect(service, in_force, found)


def of_policy(table: Table, service: str, policy: str, most: int) -> Table:
    """All calls of the newest requests that this policy decided, without those that may be under way still. Raises CheckFailed without any."""
    first = (table["service"] == service) & (table["policy"] == policy) & (table["attempt"] == 1)
    at = table["started_at"][first]
    if not len(at):
        raise CheckFailed(f"no request of service {service!r} was decided by {policy!r} of late")
    ripe = np.flatnonzero(first)[at <= at.max() - min(_SETTLE, np.ptp(at) / 5)]
    newest = ripe[np.argsort(table["started_at"][ripe], kind="stable")[-most:]]
    kept = set(table["request_id"][newest].tolist())
    rows = np.fromiter((name in kept for name in table["request_id"].tolist()), np.bool_, len(first)) & (table["service"] == service)
    return {name: cells[rows] for name, cells in table.items()}
