"""Computes every recorded snapshot again and compares it with what its tick says.

What a leader published is a function of where it began (a checkpoint and a cut of rows), of the looks and ticks that its tick records name,
of operators' words up to the offset they name, and of the logged configuration. Each term is verified on its own, one after the other:
leaders that overlapped in time do not disturb each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from msgspec.structs import replace
from pydantic import ValidationError

from routecast.models.config import Config
from routecast.models.errors import CheckFailed, DecodeError
from routecast.models.replay import Verified
from routecast.models.tick import TickRecord, decode_tick
from routecast.streams.brokers.reading import decoded
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.leadership.leader import Message
from routecast.streams.recordings.recording import Recording
from routecast.streams.recordings.replay import Count, LeaderReplay, Progress, Rows, Start, base_rows
from routecast.streams.topics import SCORES, STATE, TICKS

Version = tuple[int, int]
"""(term, seq)."""


class _Cut(NamedTuple):
    """From what leaders can begin."""

    checkpoint: bytes
    """Decoded anew for each of them, since a leader goes on with the very arrays it finds there."""
    rows: Mapping[int, Rows]


class _Plan:
    """What the small topics say: which terms there are, what they resumed, under which configuration."""

    def __init__(self, recording: Recording) -> None:
        self.first: dict[int, TickRecord] = {}
        self.resumed: set[Version] = set()
        self.checkpoints: dict[Version, str] = {}
        """SHA-256 of what of each recorded checkpoint follows from the log."""
        self.configs: dict[str, bytes] = {}
        self.base = b""
        """The checkpoint from which the recording begins; empty where it begins with the first event."""
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
                self.checkpoints[found.term, found.seq] = sha256(found.verifiable()).hexdigest()
                if base is not None and (base.term, base.seq) == (found.term, found.seq):
                    self.base = value

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
        self._base = recording.manifest.base
        self._cuts: dict[Version | None, _Cut] = {None: _Cut(self._plan.base, base_rows(recording))}
        if self._base is not None:
            self._cuts[self._base.term, self._base.seq] = self._cuts[None]
        self._ticks = self._snapshots = self._checkpoints = 0
        self._terms, self._unverified = list[int](), dict[int, str]()

    def run(self) -> Verified:
        """Verify everything. Raises CheckFailed at the first tick, snapshot or checkpoint that differs."""
        for leader, tick, published in self._played():
            self._compare(tick, published)
            self._compare_checkpoint(leader, tick)
        if not self._ticks:
            raise CheckFailed("the recording has no tick that can be verified: was a worker leading, and did it tick after the recording began?")
        return Verified(
            ticks=self._ticks, snapshots=self._snapshots, checkpoints=self._checkpoints, terms=tuple(self._terms), unverified=self._unverified
        )  # fmt: skip

    @property
    def unverified(self) -> Mapping[int, str]:
        """Terms that could not be played so far, and why."""
        return self._unverified

    def play(self) -> Iterator[tuple[TickRecord, list[Message]]]:
        """Every tick that could be verified, with what its leader publishes at it, term by term; nothing is compared."""
        for leader, tick, published in self._played():
            if (tick.term, tick.seq) in self._plan.resumed:
                self._keep(leader, tick, leader.checkpoint())
            yield tick, published

    def _played(self) -> Iterator[tuple[LeaderReplay, TickRecord, list[Message]]]:
        for term, first in sorted(self._plan.first.items()):
            obstacle = self._obstacle(first)
            if obstacle:
                self._unverified[term] = obstacle
                continue
            start = self._start(first)
            leader = LeaderReplay(self._recording, start, self._count)
            for tick in self._ticks_of(start):
                yield leader, tick, leader.tick(tick)
            self._terms.append(term)

    def _obstacle(self, first: TickRecord) -> str:
        """Why a term cannot be verified; empty where it can."""
        if self._goes_on(first):
            return ""
        if first.began is None:
            return "it began before the recording"
        cut = self._cuts.get(first.began.resumed)
        if cut is None:
            return f"it resumed a checkpoint that is not in the file or was not verified: {first.began.resumed}"
        offsets, least = first.began.look.offsets, self._base.offsets if self._base is not None else {}
        return "it began before the checkpoint from which the recording begins" if any(offsets.get(p, -1) < least[p] for p in least) else ""

    def _goes_on(self, first: TickRecord) -> bool:
        """Whether this is the leader whose checkpoint the recording begins with."""
        return self._base is not None and self._base.term == first.term

    def _start(self, first: TickRecord) -> Start:
        config = self._plan.config(first.config_version)
        if self._base is not None and self._goes_on(first):
            cut = self._cuts[None]
            return Start(config, first.term, self._base.at_ms, self._base.offsets, Checkpoint.decode(cut.checkpoint), cut.rows)
        if first.began is None:
            raise CheckFailed(f"tick {first.term}/{first.seq} does not say how its leader began")
        look, resumed = first.began.look, first.began.resumed
        cut = self._cuts[resumed]
        return Start(config, first.term, look.at_ms, look.offsets, Checkpoint.decode(cut.checkpoint) if resumed else None, cut.rows)

    def _ticks_of(self, start: Start) -> Iterator[TickRecord]:
        """Those of one term after its start, without a gap."""
        seq = start.checkpoint.seq if start.checkpoint is not None and start.checkpoint.term == start.term else 0
        for tick in ticks(self._recording):
            if tick.term == start.term and tick.seq > seq:
                seq += 1
                if tick.seq != seq:
                    raise CheckFailed(f"tick {tick.term}/{seq} is not in the file, though {tick.term}/{tick.seq} is")
                yield tick

    def _compare(self, tick: TickRecord, messages: Sequence[Message]) -> None:
        logged, *published = messages
        found = {message.key.decode(): sha256(message.value).hexdigest() for message in published if message.topic == SCORES}
        for service in sorted({*found, *tick.sha256}):
            if found.get(service) != tick.sha256.get(service):
                raise CheckFailed(f"snapshot {tick.term}/{tick.seq} of service {service!r} is not the one that was published")
            self._snapshots += 1
        again = decode_tick(logged.value)
        if not isinstance(again, TickRecord) or replace(again, config_version=tick.config_version) != tick:  # versions may word a configuration differently
            raise CheckFailed(f"tick {tick.term}/{tick.seq} is not the one that was logged: expected {again}, found {tick}")
        self._ticks += 1

    def _compare_checkpoint(self, leader: LeaderReplay, tick: TickRecord) -> None:
        version = (tick.term, tick.seq)
        expected = self._plan.checkpoints.get(version)
        if expected is None:
            return
        value = leader.checkpoint()
        if sha256(Checkpoint.decode(value).verifiable()).hexdigest() != expected:
            raise CheckFailed(f"checkpoint {tick.term}/{tick.seq} is not the one that was published")
        self._checkpoints += 1
        if version in self._plan.resumed:
            self._keep(leader, tick, value)

    def _keep(self, leader: LeaderReplay, tick: TickRecord, checkpoint: bytes) -> None:
        """A later leader begins here."""
        self._cuts[tick.term, tick.seq] = _Cut(checkpoint, leader.rows(tick.at_ms, tick.offsets))


def ticks(recording: Recording) -> Iterator[TickRecord]:
    """The recorded ticks of all leaders, in the order of the log; claims and what cannot be read are left out."""
    for record in recording.records(TICKS, 0):
        try:
            tick = decode_tick(record.value or b"")
        except DecodeError:
            continue
        if isinstance(tick, TickRecord):
            yield tick
