from __future__ import annotations

from aiokafka import TopicPartition

from routecast.dashboards.influx.batch import LINGER_S, Batch
from routecast.dashboards.influx.line_protocol import Destination, Line

PLACE = TopicPartition("t", 0)


def _line(size: int) -> Line:
    return Line(b"x" * size, Destination("7d", "ms"), "m", 0)


def test_nothing_is_never_due() -> None:
    """However long it waits."""
    assert not Batch().due(1e9)


def test_a_record_waits_a_second_for_others() -> None:
    """From the first one on; also one without lines, whose offset is to be committed."""
    batch = Batch()
    batch.reach(PLACE, 7, 100.0)
    batch.reach(PLACE, 8, 100.9)
    assert not batch.due(100.0 + LINGER_S - 0.01)
    assert batch.due(100.0 + LINGER_S)
    assert batch.next == {PLACE: 9}


def test_a_full_batch_is_due_at_once() -> None:
    """By 5,000 lines or by 4 MiB."""
    for lines in ([_line(10)] * 5000, [_line(1 << 20)] * 4):
        batch = Batch()
        batch.add(lines[:-1], 0.0)
        assert not batch.due(0.0)
        batch.add(lines[-1:], 0.0)
        assert (batch.full, batch.due(0.0)) == (True, True)
