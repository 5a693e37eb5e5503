from __future__ import annotations

import random

from routecast.analytics.fold import PartitionFold
from routecast.analytics.merge import Merge
from routecast.models.config import Config, TargetConfig
from routecast.models.events import Completed
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.leadership.leader import Leader, Message
from routecast.streams.topics import INSIGHTS, SCORES

T0 = 1_699_999_200_000.0
MANY = Config(target=tuple(TargetConfig(id=f"t{i}", provider="p", model="m", service="chat") for i in range(350)))
"""More targets than are dealt with at one tick."""
_UPDATED = 21
"""Second at which windows are updated."""
FAILING = {"t7", "stranger"}


class _World:
    """A fold and a leader of many targets, of which two fail; one of those only events know. A tick every second."""

    def __init__(self) -> None:
        self._fold, self._luck = PartitionFold(0), random.Random(3)
        self.rows: list[tuple[bytes, bytes | None]] = []
        self.leader = Leader(MANY, 1, T0)

    def second(self, s: int) -> None:
        """What a second changes in the log."""
        at_ms = T0 + s * 1000.0
        targets = ["t7", "stranger", *(f"t{self._luck.randrange(350)}" for _ in range(60))]
        events = [
            Completed(
                at_ms=at_ms - 1.0, request_id=f"{s}-{i}", target=target, service="chat", started_at_ms=at_ms - 300.0, duration_ms=self._luck.uniform(50, 250),
                outcome="error" if target in FAILING else "ok", start_reported=False,
            )
            for i, target in enumerate(targets)
        ]  # fmt: skip
        self._fold.apply(s, at_ms, events)
        self.rows += (new := self._fold.flush())
        self.feed(self.leader, new)

    @staticmethod
    def feed(leader: Leader, rows: list[tuple[bytes, bytes | None]]) -> None:
        """Let a leader read these rows."""
        for key, value in rows:
            leader.take(key, value)

    def again(self, s: int) -> Leader:
        """The same leader once more, from its checkpoint and the rows, as replay begins."""
        merge = Merge()
        for key, value in self.rows:
            merge.add(key, value)
        return Leader(MANY, 1, T0 + s * 1000.0, merge, Checkpoint.decode(self.leader.checkpoint().value))


def _said(leader: Leader, s: int) -> list[Message]:
    return [message for message in leader.tick(T0 + s * 1000.0) if message.topic in {SCORES, INSIGHTS}]


def test_what_an_update_of_many_windows_leaves_to_the_next_tick_outlives_a_leader() -> None:
    """From a checkpoint in between, whoever goes on publishes the same snapshots, insights and state."""
    world = _World()
    for s in range(1, _UPDATED + 1):
        world.second(s)
        world.leader.tick(T0 + s * 1000.0)
    assert Checkpoint.decode(world.leader.checkpoint().value).fresh
    heir = world.again(_UPDATED)
    for s in range(_UPDATED + 1, _UPDATED + 12):
        known = len(world.rows)
        world.second(s)
        world.feed(heir, world.rows[known:])
        assert _said(heir, s) == _said(world.leader, s)
        assert heir.checkpoint() == world.leader.checkpoint()


def test_rare_ticks_of_many_targets_lack_no_insights() -> None:
    """Where every tick is one of an update, something is made of every second one."""
    world = _World()
    said: list[bytes] = []
    for s in range(11, 155, 11):
        world.second(s)
        said += [message.key for message in _said(world.leader, s)]
    assert said.count(b"trends/chat") >= 2
