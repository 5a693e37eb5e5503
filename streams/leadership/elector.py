"""When the policy `auto` is looked at: every `election_ms`, in a process beside the leader, for all services that leave the choice to the evidence.

What is chosen becomes a word on the control topic, which the leader hears like those of operators: the log holds it, so that what follows can be
computed again. What fails is a warning; the next round tries again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from routecast.models.config import Config
from routecast.models.election import Election
from routecast.models.errors import Unreachable
from routecast.models.events import Control
from routecast.models.snapshot import RoutingSnapshot
from routecast.streams.clock import Clock
from routecast.streams.leadership.electing import Ballot
from routecast.streams.recordings.recorder import READABLE_MS

_MOST_REQUESTS: Final = 300_000
"""To look back at: what a process reads, folds and evaluates in less than a minute."""
_REST: Final = 4.0
"""Times that a round took, to rest from it: a fifth of a core at most."""
_STOP_S = 2.0

_log = logging.getLogger(__name__)


class Electing(Protocol):
    """Whose services follow `auto`: a leader."""

    @property
    def snapshots(self) -> Mapping[str, RoutingSnapshot]:
        """The newest of each service."""
        ...

    def on_auto(self) -> Mapping[str, str]:
        """Services whose policy the evidence is to choose, and the one that each follows."""
        ...


def stretch_ms(leader: Electing) -> float:
    """How long to look back."""
    return min(READABLE_MS, 1000.0 * _MOST_REQUESTS / max(sum(snapshot.rate_per_s for snapshot in leader.snapshots.values()), 1e-3))


def words(made: Sequence[Election], following: Mapping[str, str], at_ms: float, worker: str) -> list[Control]:
    """What is to be said of elections, of services that follow this by now: operators may have said something to which the evidence is no answer."""
    for election in made:
        moves = "stays with" if election.policy == election.before else f"moves from {election.before} to"
        _log.info("service %r on auto %s %s: %s", election.service, moves, election.policy, election.why)
    won = [election for election in made if election.policy != election.before == following.get(election.service)]
    return [Control(at_ms=round(at_ms), emitter=worker, action="elect_policy", service=it.service, policy=it.policy, why=it.why) for it in won]


class Elector:
    """Holds the elections of one leader. Everything but the processes happens in the thread that calls `turn`.

    Args:
        config: services, intervals and the log.
        clock: for rounds and rests, and the time of words.
        worker: name in words.
        ballot: makes what holds one election.
    """

    def __init__(self, config: Config, clock: Clock, worker: str, ballot: Callable[[], Ballot] = Ballot) -> None:
        self._config = config
        self._clock = clock
        self._worker = worker
        self._make = ballot
        self._interval_s = config.intervals.election_ms / 1000.0
        self._due_s = clock.monotonic_s() + self._interval_s
        self._ballot: Ballot | None = None
        self._thread: threading.Thread | None = None
        self._done: SimpleQueue[tuple[Election, ...]] = SimpleQueue()
        self._said = ""
        self._closed = False

    def turn(self, leader: Electing) -> list[Control]:
        """Words of what was chosen, to be written to the control topic; begins what is due. To be called after ticks; never raises."""
        try:
            return self._words(leader) or self._begin_what_is_due(leader)
        except Exception as error:  # noqa: BLE001 - an election is worth no snapshot
            self._complain(repr(error))
            return []

    def _words(self, leader: Electing) -> list[Control]:
        try:
            made = self._done.get_nowait()
        except Empty:
            return []
        self._thread = None
        return words(made, leader.on_auto(), self._clock.now_ms(), self._worker)

    def _begin_what_is_due(self, leader: Electing) -> list[Control]:
        now_s = self._clock.monotonic_s()
        if self._interval_s > 0 and not self._closed and self._thread is None and now_s >= self._due_s:
            self._due_s = now_s + self._interval_s
            following = leader.on_auto()
            if following:
                self._begin(following, stretch_ms(leader))
        return []

    def _begin(self, following: Mapping[str, str], back_ms: float) -> None:
        self._ballot = self._make()
        self._thread = threading.Thread(target=self._wait, args=(self._ballot, dict(following), back_ms), name="routecast-election", daemon=True)
        self._thread.start()

    def _wait(self, ballot: Ballot, following: Mapping[str, str], back_ms: float) -> None:
        began_s, made = self._clock.monotonic_s(), tuple[Election, ...]()
        try:
            made = ballot.elect(self._config, following, back_ms)
            self._said = ""
        except Unreachable as error:
            self._complain(str(error))
        except Exception as error:  # noqa: BLE001 - of a thread that nobody else looks after
            self._complain(repr(error))
        ended_s = self._clock.monotonic_s()
        self._due_s = max(self._due_s, ended_s + _REST * (ended_s - began_s))
        self._done.put(made)

    def _complain(self, words: str) -> None:
        """Once for each reason, until it works again."""
        if words != self._said and not self._closed:
            _log.warning("policy auto stays as it is: no evidence, %s", words)
        self._said = words

    def close(self) -> None:
        """End the process that is at work; nothing more is begun."""
        self._closed = True
        if self._ballot is not None:
            self._ballot.stop()
        if self._thread is not None:
            self._thread.join(_STOP_S)
