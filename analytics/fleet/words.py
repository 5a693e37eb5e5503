"""What routers say of targets: a breaker of theirs tripped or closed. A word excludes a target for seconds; it never decides alone.

A word excludes its target everywhere for 5 s, at most once in half a minute, whoever says it. Only pooled evidence prolongs that; a router whose
word nothing confirmed is not heard on this target for ten minutes: its own network may be broken. While exactly one of several
routers stands by its word, the evidence may be all its own, and pooled evidence does not open the target either; a second word
lifts that.
"""

from __future__ import annotations

from typing import ClassVar

_EXCLUDES_MS = 5_000.0
_LEAST_BETWEEN_MS = 30_000.0
_STANDS_MS = 600_000.0
"""How long a word stands that is not taken back, and how long a router is not heard whose word was not confirmed."""
_MOST = 1_000
"""Routers that are kept in mind for a target: emitters are not trusted to be few."""


class Words:
    """Words about the targets of one service. Time is the log's: when the word was appended, epoch ms.

    Memory: at most a thousand routers a target, for ten minutes.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_excluded", "_standing", "_unheard", "_withdrawn")

    def __init__(self) -> None:
        self._excluded: dict[str, list[object]] = {}  # target → [when, by whom, whether it was judged] of the newest exclusion
        self._standing: dict[str, dict[str, float]] = {}  # target → router → when it spoke
        self._unheard: dict[str, dict[str, float]] = {}  # target → router → when its word was not confirmed

        self._withdrawn: list[str] = []  # targets by which nobody stands any more

    def hear(self, target: str, router: str, at_ms: float, *, tripped: bool) -> bool:
        """Take a word; whether it excludes the target."""
        if not tripped:
            self._take_back(target, router)
            return False
        standing = self._standing.setdefault(target, {})
        again = router in standing
        if not again and len(standing) >= _MOST:
            return False
        standing[router] = at_ms
        last = self._excluded.get(target)
        if again or router in self._unheard.get(target, {}) or (last is not None and at_ms < _number(last[0]) + _LEAST_BETWEEN_MS):
            return False
        self._excluded[target] = [at_ms, router, False]
        return True

    def _take_back(self, target: str, router: str) -> None:
        standing = self._standing.get(target, {})
        if standing.pop(router, None) is not None and not standing:
            del self._standing[target]
            self._withdrawn.append(target)

    def excluded(self, target: str, now_ms: float) -> bool:
        """Whether a word excludes this target now."""
        last = self._excluded.get(target)
        return last is not None and now_ms < _number(last[0]) + _EXCLUDES_MS

    def lapsed(self, since_ms: float, now_ms: float) -> bool:
        """Whether an exclusion ended in between."""
        return any(since_ms < _number(when) + _EXCLUDES_MS <= now_ms for when, *_ in self._excluded.values())

    def alone(self, target: str) -> bool:
        """Whether exactly one router stands by its word."""
        return len(self._standing.get(target, {})) == 1

    def take_withdrawn(self) -> list[str]:
        """Targets by which nobody stands any more since the last call."""
        withdrawn, self._withdrawn = self._withdrawn, []
        return withdrawn

    def confirm(self, target: str) -> None:
        """Pooled evidence says the same: whoever spoke is heard again."""
        self._unheard.pop(target, None)

    def advance(self, now_ms: float) -> None:
        """Let words lapse; who excluded a target and stayed the only one is not heard for a while."""
        for target, (when, router, judged) in list(self._excluded.items()):
            at_ms = _number(when)
            if now_ms >= at_ms + _EXCLUDES_MS and not judged:
                self._excluded[target] = [when, router, True]
                unheard = self._unheard.setdefault(target, {})
                if len(unheard) < _MOST and self._standing.get(target, {}).keys() <= {router}:
                    unheard[str(router)] = at_ms
            if now_ms >= at_ms + _LEAST_BETWEEN_MS:
                del self._excluded[target]
        for kept in (self._standing, self._unheard):
            for target, routers in list(kept.items()):
                for router in [router for router, at_ms in routers.items() if now_ms >= at_ms + _STANDS_MS]:
                    del routers[router]
                if not routers:
                    del kept[target]
                    self._withdrawn += [target] if kept is self._standing else []


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
