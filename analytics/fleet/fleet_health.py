"""States of the targets of a service as they are published: pooled evidence, hangs, and what routers say of their own breakers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.checkpoint import Stateful
from routecast.analytics.fleet.hangs import Hangs
from routecast.analytics.fleet.health import Health
from routecast.analytics.fleet.horizon import Evidence, Horizon
from routecast.analytics.fleet.load import LoadTracker
from routecast.analytics.fleet.words import Words
from routecast.models.config import Routing, TargetConfig
from routecast.models.events import Tripped
from routecast.models.rows import TargetTotals
from routecast.models.snapshot import State

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ALARMING = 4
"""New failures of one target that are published at once."""
_LEAST_N = 4.0
"""Completed requests behind a prediction that can be held against anybody."""


class FleetHealth:
    """Advanced only at ticks; words are taken in between.

    Args:
        targets: of the service; the list grows with what events name.
        configured: those of which routers' words are heard.
        routing: thresholds.
        longest_open_ms: longest time a target is open before it is probed.
    """

    def __init__(self, targets: Sequence[TargetConfig], configured: Iterable[str], routing: Routing, longest_open_ms: float) -> None:
        self._targets = targets
        self._configured = frozenset(configured)
        self._words = Words()
        self._pooled = Health(routing.failover_threshold, longest_open_ms, routing.objective.success_ratio)
        self._hangs = Hangs()

    def grow(self, n: int) -> None:
        """Make room for `n` targets."""
        self._pooled.grow(n)
        self._hangs.grow(n)

    @property
    def parts(self) -> Mapping[str, Stateful]:
        """What makes up its state."""
        return {"health": self._pooled, "cusum": self._pooled.cusum, "hangs": self._hangs, "words": self._words}

    def heed(self, word: Tripped, at_ms: float) -> bool:
        """Take what a router said, appended to the log at this time; whether it should be published at once."""
        return word.target in self._configured and self._words.hear(word.target, word.emitter, at_ms, tripped=word.state == "open")

    def urgent(self, since_ms: float, now_ms: float, broken: Sequence[float]) -> bool:
        """Whether to publish at once: a word lapsed since then, or a target that is not known to be open begins to fail."""
        failing = any(n >= _ALARMING and state != "open" for n, state in zip(broken, self._pooled.states, strict=True))
        return failing or self._words.lapsed(since_ms, now_ms)

    def settled(self, now_ms: float, new: Sequence[TargetTotals], news: Evidence, load: LoadTracker) -> Evidence:
        """New outcomes with requests that hang as failures, each counted once: when it is found to hang, not when it ends."""
        started = np.array([totals.started for totals in new], float)
        kept, hung = self._hangs.update(now_ms, news.ok, news.broken, started, load)
        share = np.where(news.failed > 0, (kept + news.limited) / np.maximum(1.0, news.failed), 1.0)
        return news._replace(failed=kept + hung + news.limited, fail_s=news.fail_s * share + hung * self._hangs.patience_s)

    def update(self, now_ms: float, routers: int, news: Evidence, minute: Horizon, usual: Floats, load: LoadTracker) -> Ints:
        """Take settled outcomes at a tick with so many live routers; which targets begin to be probed: their estimates restart.

        `minute` is the evidence of the last minute, `news` included; `usual` the long-run ratio of failures that a breaker counts.
        """
        withdrawn = set(self._words.take_withdrawn())  # what was held against these was one router's, and is over
        self._pooled.cusum.forget(np.array([i for i, target in enumerate(self._targets) if target.id in withdrawn], np.int64))
        names, before = [target.id for target in self._targets], list(self._pooled.states)
        probed = self._pooled.update(now_ms, news, minute, usual, self._doubtful(routers))
        for name, state in zip(names, self._pooled.states, strict=True):
            if state in {"open", "recovering"}:
                self._words.confirm(name)
        changed = [i for i, state in enumerate(self._pooled.states) if before[i] in {"open", "recovering"} and state != before[i] and state != "open"]
        self._hangs.leave(np.array(changed, np.int64), now_ms, load)
        self._words.advance(now_ms)
        return probed

    def undoubted(self, news: Evidence, routers: int) -> Evidence:
        """New outcomes without failures that may be those of one router alone: what a target costs the others must not follow them."""
        return news._replace(failed=np.where(self._doubtful(routers), news.limited, news.failed))

    def _doubtful(self, routers: int) -> NDArray[np.bool_]:
        return np.array([routers > 1 and self._words.alone(target.id) for target in self._targets], bool)

    def expect(self, time_s: Floats, n: Floats, in_flight: Floats, capacity: Floats) -> None:
        """What a request takes from now on, seconds; where fewer than four completions tell, only a target that is being probed must keep to it."""
        probed = np.array([state == "recovering" for state in self._pooled.states], bool)
        self._hangs.expect(np.where((n >= _LEAST_N) | probed, time_s, np.inf), in_flight / capacity)

    def states(self, now_ms: float) -> list[State]:
        """The state of each target; one that a word excludes is open until that lapses."""
        return [
            "open" if state not in {"open", "recovering"} and self._words.excluded(target.id, now_ms) else state
            for target, state in zip(self._targets, self._pooled.states, strict=True)
        ]

    def ramp(self, now_ms: float) -> Floats:
        """How much of its planned share each target may take, 0..1."""
        return self._pooled.ramp(now_ms)
