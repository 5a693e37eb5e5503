from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.experiments.arm_sums import ArmSums, merged
from routecast.analytics.experiments.measures import p95_ms, sums_of
from routecast.analytics.fold import PartitionFold
from routecast.analytics.merge import Merge
from routecast.models.decision_ref import DecisionRef, ShadowRef
from routecast.models.events import Completed, Event, Feedback, Started
from routecast.models.rows import ARM_KEPT_MS, MOST_ARMS, ArmTotals, decode_row

AT_MS = 1_700_000_000_000.0


def started(n: int, arm: str, attempt: int = 1, **more: Any) -> Started:
    """The start of request `n`."""
    decision = DecisionRef(policy="performance", snapshot=(1, 1), propensity=0.5, arm=arm, **more)
    return Started(at_ms=AT_MS + n, request_id=f"r{n}", attempt=attempt, target="a", service="chat", decision=decision)


def completed(n: int, arm: str, outcome: Any = "ok", attempt: int = 1, **more: Any) -> Completed:
    """Its end after a second."""
    decision = DecisionRef(policy="performance", snapshot=(1, 1), propensity=0.5, arm=arm)
    plain: dict[str, Any] = {"started_at_ms": AT_MS + n, "duration_ms": 1_000.0, "output_tokens": 192, "decision": decision}
    return Completed(at_ms=AT_MS + n + 1_000.0, request_id=f"r{n}", attempt=attempt, target="a", service="chat", outcome=outcome, **(plain | more))


EVENTS: list[Event] = [
    *(started(n, "x.0/a" if n % 3 else "x.0/b") for n in range(30)),
    *(completed(n, "x.0/a" if n % 3 else "x.0/b", ("ok", "error", "timeout")[n % 4 % 3], cost_usd=0.001 * n, quality=0.5) for n in range(30)),
    started(31, ""),
    Feedback(at_ms=AT_MS, request_id="r1", target="a", completed_at_ms=AT_MS, quality=0.9, arm="x.0/a"),
]


def folded(records: list[list[Event]], partition: int = 0, *, again: int | None = None) -> PartitionFold:
    """A fold of these records, which from record `again` on goes on with another worker's fold, made from the rows of a flush."""
    fold, rows = PartitionFold(partition), dict[bytes, bytes]()
    for offset, events in enumerate(records):
        if offset == again:
            rows |= {key: value for key, value in fold.flush() if value is not None}
            fold = PartitionFold.restored(partition, [decode_row(key, value) for key, value in rows.items()])
            for earlier in range(max(0, offset - 2), offset):
                fold.apply(earlier, AT_MS + 5_000, records[earlier])
        fold.apply(offset, AT_MS + 5_000, events)
    return fold


def arms_of(*folds: PartitionFold) -> dict[str, ArmTotals]:
    """As a leader merges them."""
    merge = Merge()
    for fold in folds:
        for key, value in fold.flush(all_totals=True):
            merge.add(key, value)
    return merge.arms()


def test_first_calls_are_counted_by_their_arm() -> None:
    """Exposures, outcomes, logarithms, cost, quality with what came later; requests outside the experiment are not."""
    arms = arms_of(folded([EVENTS]))
    assert sorted(arms) == ["x.0/a", "x.0/b"]
    a = arms["x.0/a"]
    assert (a.exposed, a.attempts, a.ok + a.failed) == (20, 20, 20)
    assert a.n == a.ok
    assert a.sum_ln == round(math.log(1_000.0) * 1e6) * a.n
    assert (a.quality_n, a.quality_sum) == (21, 20 * 500_000 + 900_000)
    assert a.cost_sum == sum(1000 * n for n in range(30) if n % 3)
    sums = sums_of(a, 900.0)
    assert (sums["slow"].total, sums["success"].n) == (sums["slow"].n, 20)
    assert p95_ms(a) == pytest.approx(1_000.0, rel=0.01)


@given(st.integers(0, 29), st.integers(1, 4), st.randoms(use_true_random=False))
def test_no_partitioning_takeover_or_redelivery_changes_the_sums(again: int, partitions: int, chance: random.Random) -> None:
    """A worker that dies after a flush, and one that goes on from the rows, count every event once."""
    parts: list[list[list[Event]]] = [[] for _ in range(partitions)]
    for event in EVENTS:
        chance.choice(parts).append([event])
    split = [folded(part, i, again=min(again, len(part) - 1)) for i, part in enumerate(parts)]
    assert arms_of(*split) == arms_of(folded([EVENTS]))


def test_further_calls_of_a_request_are_attempts_and_nothing_else() -> None:
    """The first one is what was assigned; what came of it is judged."""
    events: list[Event] = [started(1, "x.0/a"), completed(1, "x.0/a", "error"), started(1, "x.0/a", attempt=2), completed(1, "x.0/a", attempt=2)]
    a = arms_of(folded([events]))["x.0/a"]
    assert (a.exposed, a.attempts, a.ok, a.failed) == (1, 2, 0, 1)


def test_a_shadow_is_counted_where_it_agrees_and_where_not() -> None:
    """Its arm has decisions and no outcomes."""
    shadows = [ShadowRef(arm="x.0/b", target=target, propensity=0.3) for target in ("a", "a", "z")]
    arms = arms_of(folded([[started(n, "x.0/a", shadow=shadow) for n, shadow in enumerate(shadows)]]))
    assert (arms["x.0/b"].exposed, arms["x.0/b"].agreed, arms["x.0/b"].attempts) == (3, 2, 0)


def test_a_completion_without_a_start_brings_its_exposure() -> None:
    """As for all other counts."""
    a = arms_of(folded([[completed(1, "x.0/a", start_reported=False)]]))["x.0/a"]
    assert (a.exposed, a.attempts, a.ok) == (1, 1, 1)


def test_arms_are_bounded_and_the_longest_silent_goes_first() -> None:
    """A flood of names takes no place from an experiment that can still run."""
    sums = ArmSums()
    for i in range(MOST_ARMS + 5):
        sums.started(started(i, f"x/{i}"), AT_MS + i, f"x/{i}")
    assert [row.arm for row in sums.rows()] == [f"x/{i}" for i in range(MOST_ARMS)]
    sums.started(started(0, "new"), AT_MS + ARM_KEPT_MS + 1, "new")
    kept = [row.arm for row in sums.rows()]
    assert (len(kept), "x/0" in kept, "new" in kept) == (MOST_ARMS, False, True)


def test_a_dear_request_does_not_overflow() -> None:
    """It counts as ten dollars."""
    sums = ArmSums()
    sums.completed(completed(1, "x/a", cost_usd=1e6), AT_MS, "x/a")
    (row,) = sums.rows()
    assert (row.cost_sum, row.cost_sum2) == (10_000_000, 10**14)
    assert merged([[row], [row]])["x/a"].cost_sum2 == 2 * 10**14
