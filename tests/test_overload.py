from __future__ import annotations

import pytest

from routecast.overload import Overload

pytestmark = pytest.mark.untraced


@pytest.mark.parametrize("routers", [4, 16])
def test_overload_is_carried_at_full_throughput_and_the_urgent_come_first(routers: int) -> None:
    """One and a half times what the targets serve: slots stay busy, urgent requests are in time, low ones are shed first, the queue empties."""
    overload = Overload(routers=routers, overload_s=60.0, queue=100, seed=5)
    seen = overload.run()
    high, medium, low = map(seen.answered_ratio, ("high", "medium", "low"))
    assert overload.throughput >= 0.98
    assert high >= 0.99
    assert seen.p95_ms("high") <= 10_000
    assert high >= medium > low + 0.3
    assert seen.longest_queue <= 100 * routers
    assert seen.emptied_s < 60
    assert seen.attempts <= 1.1 * seen.answered.total()
    assert sum(sum(router.in_flight.values()) + router.waiting for router in overload.routers) == 0
