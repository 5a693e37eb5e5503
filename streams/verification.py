"""Computes every recorded snapshot again and compares it with what its tick says.

What a leader published is a function of where it began (a checkpoint and a cut of rows), of the looks and ticks that its tick records name,
of operators' words up to the offset they name, and of the logged configuration. Each term is verified on its own, one after the other:
leaders that overlapped in time do not disturb each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple

from msgspec.structs import replace
from pydantic import ValidationError

from routecast.models.config import Config
from routecast.models.errors import CheckFailed, DecodeError
from routecast.models.replay import Verified
from routecast.models.tick import TickRecord, decode_tick
from routecast.streams.checkpoint import Checkpoint
from routecast.streams.reading import decoded
from routecast.streams.recording import Recording
from routecast.streams.replay import Count, LeaderReplay, Progress, Rows, Start, base_rows
from routecast.streams.topics import SCORES, STATE, TICKS

Version = tuple[int, int]
"""(term, seq)."""


class _Cut(NamedTuple):
    """From what a leader can begin."""

    checkpoint: Checkpoint | None
    rows: Mapping[int, Rows]


class _Plan:
    """What the small topics say: which terms there are, what they resumed, under which configuration."""

    def __init__(self, recording: Recording) -> None:
        self.first: dict[int, TickRecord] = {}
        self.resumed: set[Version] = set()
        self.checkpoints: dict[Version, str] = {}
        """SHA-256 of each recorded checkpoint."""
        self.configs: dict[str, bytes] = {}
        self.base: Checkpoint | None = None
        for tick in ticks(recording):
            self.first.setdefault(tick.term, tick)
            if tick.began is not None and tick.began.resumed is not None:
                self.resumed.add(tick.began.resumed)
        base = recording.manifest.base
        for record in recording.records(STATE, 0):
            value = record.value or b""
            if record.key.startswith(b"config/"):
                self.configs[record.key.removeprefix(b"config/").decode(errors="replace")] = value
            elif (found := decoded(value, Checkpoint.decode)) is not None:
                self.checkpoints[found.term, found.seq] = sha256(value).hexdigest()
                if base is not None and (base.term, base.seq) == (found.term, found.seq):
                    self.base = found

    def config(self, version: str) -> Config:
        """The logged configuration. Raises CheckFailed where it is missing or can no longer be read."""
        try:
            return Config.model_validate_json(self.configs[version])
        except KeyError:
            raise CheckFailed(f"configuration {version} is not in the file: snapshots cannot be computed without it; record again") from None
        except ValidationError as error:
            what = error.errors(include_url=False)[0]["msg"]
            raise CheckFailed(f"configuration {version} does not fit this version of routecast ({what}): verify with the version that recorded it") from error


class Verification:
    """Verifies a recording. Memory: the rows and analytic state of one leader, and of each checkpoint that a later one resumed.

    Args:
        recording: the file.
        progress: told how many events were folded, again for each term, and the append time they have reached.
    """

    def __init__(self, recording: Recording, progress: Progress) -> None:
        self._recording = recording
        self._plan = _Plan(recording)
        self._count = Count(progress)
        begin = _Cut(self._plan.base, base_rows(recording))
        self._cuts: dict[Version | None, _Cut] = {None: begin}
        if begin.checkpoint is not None:
            self._cuts[begin.checkpoint.term, begin.checkpoint.seq] = begin
        self._ticks = self._snapshots = self._checkpoints = 0

    def run(self) -> Verified:
        """Verify everything. Raises CheckFailed at the first tick, snapshot or checkpoint that differs."""
        verified: list[int] = []
        unverified: dict[int, str] = {}
        for term, first in sorted(self._plan.first.items()):
            obstacle = self._obstacle(first)
            if obstacle:
                unverified[term] = obstacle
            else:
                self._verify(self._start(first))
                verified.append(term)
        return Verified(
            ticks=self._ticks, snapshots=self._snapshots, checkpoints=self._checkpoints, terms=tuple(verified), unverified=unverified
        )  # fmt: skip

    def _obstacle(self, first: TickRecord) -> str:
        """Why a term cannot be verified; empty where it can."""
        base = self._plan.base
        if base is not None and base.term == first.term:
            return ""
        if first.began is None:
            return "it began before the recording"
        cut = self._cuts.get(first.began.resumed)
        if cut is None:
            return f"it resumed a checkpoint that is not in the file or was not verified: {first.began.resumed}"
        then = base.offsets if base is not None and cut.checkpoint is base else {}
        offsets = first.began.look.offsets
        return "it began before the checkpoint from which the recording begins" if any(offsets.get(p, -1) < then[p] for p in then) else ""

    def _start(self, first: TickRecord) -> Start:
        config, base = self._plan.config(first.config_version), self._plan.base
        if first.began is None or (base is not None and base.term == first.term):
            cut = self._cuts[None]
            if cut.checkpoint is None:
                raise CheckFailed(f"tick {first.term}/{first.seq} does not say how its leader began")
            return Start(config, first.term, cut.checkpoint.at_ms, cut.checkpoint.offsets, *cut)
        look, cut = first.began.look, self._cuts[first.began.resumed]
        return Start(config, first.term, look.at_ms, look.offsets, cut.checkpoint if first.began.resumed else None, cut.rows)

    def _verify(self, start: Start) -> None:
        leader = LeaderReplay(self._recording, start, self._count)
        seq = start.checkpoint.seq if start.checkpoint is not None and start.checkpoint.term == start.term else 0
        for tick in ticks(self._recording):
            if tick.term == start.term and tick.seq > seq:
                seq += 1
                if tick.seq != seq:
                    raise CheckFailed(f"tick {tick.term}/{seq} is not in the file, though {tick.term}/{tick.seq} is")
                self._compare(leader, tick)

    def _compare(self, leader: LeaderReplay, tick: TickRecord) -> None:
        logged, *published = leader.tick(tick)
        found = {message.key.decode(): sha256(message.value).hexdigest() for message in published if message.topic == SCORES}
        for service in sorted({*found, *tick.sha256}):
            if found.get(service) != tick.sha256.get(service):
                raise CheckFailed(f"snapshot {tick.term}/{tick.seq} of service {service!r} is not the one that was published")
            self._snapshots += 1
        again = decode_tick(logged.value)
        if not isinstance(again, TickRecord) or replace(again, config_version=tick.config_version) != tick:  # versions may word a configuration differently
            raise CheckFailed(f"tick {tick.term}/{tick.seq} is not the one that was logged: expected {again}, found {tick}")
        self._ticks += 1
        self._compare_checkpoint(leader, tick)

    def _compare_checkpoint(self, leader: LeaderReplay, tick: TickRecord) -> None:
        version = (tick.term, tick.seq)
        expected = self._plan.checkpoints.get(version)
        if expected is None:
            return
        value = leader.checkpoint()
        if sha256(value).hexdigest() != expected:
            raise CheckFailed(f"checkpoint {tick.term}/{tick.seq} is not the one that was published")
        self._checkpoints += 1
        if version in self._plan.resumed:
            self._cuts[version] = _Cut(Checkpoint.decode(value), leader.rows(tick.at_ms, tick.offsets))


def ticks(recording: Recording) -> Iterator[TickRecord]:
    """The recorded ticks of all leaders, in the order of the log; claims and what cannot be read are left out."""
    for record in recording.records(TICKS, 0):
        try:
            tick = decode_tick(record.value or b"")
        except DecodeError:
            continue
        if isinstance(tick, TickRecord):
            yield tick
