from __future__ import annotations

import math
from random import Random

import pytest

from routecast.analytics.simulation.recorded import Answer, RecordedTarget
from routecast.analytics.simulation.servers import Queueing
from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.virtual_target import WELL, Condition, VirtualTarget


def test_a_call_that_waited_for_the_end_of_a_slow_down_was_served_no_longer_than_it_lasted() -> None:
    """Its service began at full speed; time to first token keeps its share of the service."""
    queue, seen = EventQueue(), list[tuple[float, float, float]]()
    target = RecordedTarget(queue, VirtualTarget(queue, Queueing(queue, 1), Random(0), deadline_ms=math.inf), [Answer(False, 40.0, 1.0)], 1.0, None)
    target.condition = Condition(slowdown=9.0)
    for _ in range(2):
        target.submit(61.0, lambda _: seen.append((queue.now_ms, target.ended_service_ms, target.ended_ttft_ms)))
    target.condition = WELL
    queue.advance_to(1000.0)
    assert seen == [pytest.approx((900.0, 900.0, 360.0)), pytest.approx((1000.0, 900.0, 360.0))]
