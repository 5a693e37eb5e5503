"""What this router had in flight at a moment that has passed: when a snapshot was built, not when it arrived."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

_MOST = 100_000


class Changes:
    """Starts (+1) and ends (−1) of this router since the newest snapshot was built. Memory: the newest hundred thousand."""

    def __init__(self) -> None:
        self._changes: deque[tuple[float, int, int]] = deque(maxlen=_MOST)

    def add(self, at_ms: float, index: int, change: int) -> None:
        """One more, or one fewer, was in flight at target `index` from this time (epoch ms) on."""
        self._changes.append((at_ms, index, change))

    def undone(self, own: Sequence[int], at_ms: float) -> list[int]:
        """What `own` was at that time; what happened until then is forgotten."""
        changes, then = self._changes, list(own)
        for changed_ms, i, change in reversed(changes):
            if changed_ms <= at_ms:
                break
            then[i] -= change
        while changes and changes[0][0] <= at_ms:
            changes.popleft()
        return then
