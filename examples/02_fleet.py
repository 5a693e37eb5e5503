"""Sixteen routers in virtual time: one of three targets is slow, and the fleet finds out."""

import random
from collections import Counter

from routecast import Config
from routecast.testing import Fleet

config = Config.model_validate(
    {
        "target": [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in ("quick", "steady", "slow")],
    }
)
seconds = {"quick": 0.4, "steady": 0.8, "slow": 3.0}
luck = random.Random(7)
fleet = Fleet(config, routers=16, seed=7)
chosen: Counter[str] = Counter()

for i in range(3000):
    fleet.advance_to(fleet.now_ms + luck.expovariate(1 / 20))
    router = fleet.router(luck.randrange(16))
    call = router.start(router.choose())
    fleet.queue.after(1000 * seconds[call.decision.target] * luck.lognormvariate(0, 0.3), call.finish)
    if i >= 1000:
        chosen[call.decision.target] += 1

for target, n in chosen.most_common():
    print(f"{target}: {n / chosen.total():.0%} of the requests")
