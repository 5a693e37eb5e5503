"""The waiting line of a full service: who is next, who has to go, and how long it takes.

Order: urgency, then the earliest deadline (EDF: optimal on one resource where everything can be met, Liu and Layland 1973), then arrival.
Nobody waits who cannot be served in time: a newcomer behind too many others is refused at once. When the line is at its bound, a newcomer
takes the place of the last one that is less urgent. So what is shed is the least urgent, and it is told at once.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from routecast.models.events import Urgency

_RANKS: dict[Urgency, int] = {"high": 0, "medium": 1, "low": 2}
_TAU_S = 10.0
_LEAST_S = 0.1
_LONGEST_RETRY_MS, _SHORTEST_RETRY_MS, _UNKNOWN_RETRY_MS = 60_000.0, 50.0, 1000.0


class Place(NamedTuple):
    """What orders the line."""

    rank: int
    deadline_s: float
    number: int


@dataclass(eq=False, slots=True)
class Waiting:
    """A request in the line."""

    urgency: Urgency
    deadline_s: float
    """Monotonic time by which it must have its answer."""
    number: int
    """Arrival: unique, rising."""
    kind: object
    """Requests of one kind may go to the same targets."""
    place: Place = field(init=False)

    def __post_init__(self) -> None:
        self.place = Place(_RANKS[self.urgency], self.deadline_s, self.number)


class Drain:
    """How many requests a second come to their end, an exponential average over 10 s; 0 until something has."""

    __slots__ = ("_at_s", "_count", "_seconds", "pending")

    def __init__(self, now_s: float) -> None:
        self.pending = 0
        """Ends since the last look."""
        self._count = self._seconds = 0.0
        self._at_s = now_s

    def per_s(self, now_s: float) -> float:
        """The rate as of now (monotonic seconds)."""
        elapsed_s = now_s - self._at_s
        if elapsed_s >= _LEAST_S:
            decay = math.exp(-elapsed_s / _TAU_S)
            self._count = self._count * decay + self.pending
            self._seconds = self._seconds * decay + elapsed_s
            self._at_s, self.pending = now_s, 0
        return self._count / self._seconds if self._seconds > 0 else 0.0


class WaitingLine:
    """A bounded line of requests. Memory: at most `most` of them; entering and leaving costs a search and a shift of the list.

    Args:
        most: requests that may wait; 0: none.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._line: list[tuple[Place, Waiting]] = []
        self._kinds: Counter[object] = Counter()

    def __len__(self) -> int:
        return len(self._line)

    def ahead(self, waiting: Waiting) -> int:
        """How many would be served before this one."""
        return bisect_left(self._line, waiting.place, key=_place)

    def in_time(self, waiting: Waiting, now_s: float, per_s: float, least_s: float) -> bool:
        """Whether it would be served in time behind those before it, when `per_s` leave a second and an answer takes `least_s`.

        True while nothing has left yet: there is no evidence against it.
        """
        wait_s = (self.ahead(waiting) + 1) / per_s if per_s > 0 else 0.0
        return now_s + wait_s + least_s <= waiting.deadline_s

    def enter(self, waiting: Waiting) -> Waiting | None:
        """Stand in line; who has to go for it: nobody, the last one that is less urgent, or the newcomer itself."""
        gone: Waiting | None = None
        if len(self._line) >= self._most:
            if not self._line or self._line[-1][0].rank <= waiting.place.rank:
                return waiting
            gone = self._line[-1][1]
            self.leave(gone)
        insort(self._line, (waiting.place, waiting), key=_place)
        self._kinds[waiting.kind] += 1
        return gone

    def leave(self, waiting: Waiting) -> bool:
        """Go; whether it stood in line."""
        at = bisect_left(self._line, waiting.place, key=_place)
        if at == len(self._line) or self._line[at][1] is not waiting:
            return False
        del self._line[at]
        self._kinds[waiting.kind] -= 1
        if not self._kinds[waiting.kind]:
            del self._kinds[waiting.kind]
        return True

    def next(self, has_room: Callable[[Waiting], bool]) -> Waiting | None:
        """Take the first whose kind finds room out of the line; None when none does. Each kind is asked about once."""
        full: set[object] = set()
        for _, waiting in self._line:
            if waiting.kind in full:
                continue
            if has_room(waiting):
                self.leave(waiting)
                return waiting
            full.add(waiting.kind)
            if len(full) == len(self._kinds):
                return None
        return None

    def hopeless(self, now_s: float, least_s: float) -> list[Waiting]:
        """Take out all that cannot be answered in time any more, however soon their turn comes."""
        gone = [waiting for _, waiting in self._line if waiting.deadline_s < now_s + least_s]
        for waiting in gone:
            self.leave(waiting)
        return gone

    def retry_after_ms(self, per_s: float) -> float:
        """When there will be room, if those in line leave at `per_s` a second; 50 ms to a minute, 1 s where nothing has left yet."""
        if per_s <= 0:
            return _UNKNOWN_RETRY_MS
        return min(_LONGEST_RETRY_MS, max(_SHORTEST_RETRY_MS, (len(self._line) + 1) / per_s * 1000.0))


def _place(entry: tuple[Place, Waiting]) -> Place:
    return entry[0]
