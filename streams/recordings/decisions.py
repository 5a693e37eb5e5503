"""What routers decided while a recording ran, and the snapshots they decided by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from routecast.analytics.tables.columns import Cells
from routecast.analytics.tables.decisions import DecisionColumns
from routecast.analytics.tables.pairing import Pairing
from routecast.models.errors import CheckFailed
from routecast.models.snapshot import RoutingSnapshot, decode_snapshot
from routecast.streams.recordings.ranges import EVERYTHING, Range, in_time
from routecast.streams.recordings.recording import Recording
from routecast.streams.recordings.replay import readable
from routecast.streams.recordings.verification import Verification
from routecast.streams.topics import EVENTS, SCORES

Snapshots = Mapping[tuple[int, int], RoutingSnapshot]
"""Of one service, by (term, seq)."""
Told = Callable[[int, float], None]
"""Told how many events were read and the append time they have reached, epoch ms."""

BATCH: Final = 1 << 13
"""Attempts whose columns are made at once: few enough that they stay in the processor's cache."""


def silent(events: int, at_ms: float) -> None:
    """For whoever watches nothing."""


def decision_batches(
    recording: Recording, pairing: Pairing, columns: DecisionColumns, within: Range = EVERYTHING, tell: Told = silent
) -> Iterator[dict[str, Cells]]:
    """The table `decisions`, some thousand rows at a time; `pairing` has the feedback afterwards."""
    events = 0
    for append_ms, _, record in in_time(recording, EVENTS, within):
        found, _ = readable(record.value)
        for event in found:
            pairing.add(event)
        events += len(found)
        tell(events, append_ms)
        if len(pairing) >= BATCH:
            yield columns.batch(pairing.take())
    yield columns.batch(pairing.finish())


def recorded_snapshots(recording: Recording, tell: Told = silent) -> dict[str, dict[tuple[int, int], RoutingSnapshot]]:
    """By service, every snapshot that leaders published meanwhile: computed again, as the log keeps only the newest, where the file holds none.

    None where no leader was recorded; what cannot be computed is missing, and decisions made by it are left out and counted by whoever evaluates.
    """
    found: dict[str, dict[tuple[int, int], RoutingSnapshot]] = {}
    with suppress(CheckFailed):
        for snapshot in map(decode_snapshot, _published(recording, tell)):
            found.setdefault(snapshot.service, {})[snapshot.version] = snapshot
    return found


def _published(recording: Recording, tell: Told) -> Iterator[bytes]:
    if recording.partitions(SCORES):
        yield from (record.value or b"" for record in recording.records(SCORES, 0))
        return
    for _, messages in Verification(recording, tell).play():
        yield from (message.value for message in messages if message.topic == SCORES)
