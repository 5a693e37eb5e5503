"""When a worker looks for garbage that reference counting does not find: objects that refer to each other in a ring.

By default Python looks through all objects that may refer to others once many new ones have lived for a while: in the middle of a tick, for as
long as there are such objects. At a thousand targets a tick would wait for a second. In a worker instead

- rows, which are most of what it keeps, are no such objects (`models/rows.py`), and panes that are over are kept as rows;
- what is there when it becomes ready, mostly modules, is frozen: no collection looks at it. Should it become garbage, it is found when the worker
  becomes ready the next time, after another one took over or joined;
- young objects are looked through as ever, somewhat less often;
- all others when nothing else is due: after a tick was published, or after rows were written where another worker leads.

Memory: rings wait for the next quiet moment, a second at most, until a hundred thousand new objects have come; where no such moment comes, until a million
have, as Python then collects by itself. This is a worker's policy alone: the collector of an application that routes is its own.
"""

from __future__ import annotations

import gc
from typing import Final

from routecast.streams.clock import Clock

_YOUNG: Final = 2_000
"""New objects until the young are looked through."""
_MIDDLE: Final = 10
_ENOUGH: Final = 5
"""Collections of the middle generation that make a full one worth while: a hundred thousand new objects."""
_TOO_MANY: Final = 50
"""As many make Python collect by itself."""
_REST: Final = 50.0
"""Times that a full collection took, to rest from it."""


class Garbage:
    """The garbage of this process; see above. To be called from one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_s = 0.0

    def settle(self) -> None:
        """Collect everything, what was frozen too, and freeze what is left. Takes a few hundred milliseconds."""
        gc.set_threshold(_YOUNG, _MIDDLE, _TOO_MANY)
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def quiet(self) -> None:
        """Use a moment in which nothing else is due."""
        began_s = self._clock.monotonic_s()
        if gc.get_count()[2] >= _ENOUGH and began_s >= self._next_s:
            gc.collect()
            ended_s = self._clock.monotonic_s()
            self._next_s = ended_s + _REST * (ended_s - began_s)
