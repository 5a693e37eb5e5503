from __future__ import annotations

import random

from routecast import Config
from routecast.models.events import Tripped
from routecast.streams.clock import SystemClock
from routecast.streams.embedded import Embedded
from routecast.streams.topics import TRIPS


def test_what_a_router_announced_last_is_on_the_log() -> None:
    """Whoever is let go right after it spoke is heard all the same."""
    config = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})
    embedded = Embedded(config, SystemClock())
    for i in range(100):
        emitter = embedded.emitter(random.Random(i))
        emitter.announce(Tripped(at_ms=1.0, target="a"))
        embedded.release(emitter, None, 0.0)
    assert embedded.close(10.0)
    assert embedded._pipeline.log.end(TRIPS, 0) == 100
