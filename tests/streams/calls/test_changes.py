from __future__ import annotations

import random

from routecast.streams.calls.changes import Changes


def test_what_happened_since_is_undone() -> None:
    """Starts and ends after that time; what happened at that very time had happened."""
    changes = Changes()
    for at_ms, i, change in ((10.0, 0, 1), (20.0, 1, 1), (30.0, 0, -1), (30.0, 1, 1)):
        changes.add(at_ms, i, change)
    assert changes.undone([0, 2], 20.0) == [1, 1]
    assert changes.undone([0, 2], 30.0) == [0, 2]


def test_random_histories_are_known_at_every_later_time() -> None:
    """As snapshots come: each asks for a time not before the last one."""
    luck, changes, own = random.Random(1), Changes(), [0, 0, 0]
    history, asked = [(0.0, (0, 0, 0))], 0.0
    for step in range(1, 3000):
        i = luck.randrange(3)
        change = -1 if own[i] and luck.random() < 0.5 else 1
        own[i] += change
        changes.add(float(step), i, change)
        history.append((float(step), (own[0], own[1], own[2])))
        if luck.random() < 0.05:
            asked = luck.uniform(asked, step)
            then = [known for at_ms, known in history if at_ms <= asked][-1]
            assert tuple(changes.undone(own, asked)) == then
