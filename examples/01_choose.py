"""Choose a target for every request, report what happened, fail over once, explain a decision. Runs on the embedded log."""

import asyncio
import random
from pathlib import Path

from routecast import Requirements, Router

CONFIGURATION = Path(__file__).with_name("routecast.toml")


class ProviderError(Exception):
    """What a real client would raise."""


async def call_provider(target: str, luck: random.Random) -> str:
    """Stands in for the HTTP call: a little latency, now and then a failure."""
    await asyncio.sleep(luck.uniform(0.001, 0.01))
    if luck.random() < 0.05:
        raise ProviderError(target)
    return f"answer of {target}"


async def answer(router: Router, requirements: Requirements, luck: random.Random) -> str:
    """One request: choose, call, and on failure choose again without what was tried."""
    tried: list[str] = []
    while True:
        decision = router.choose(requirements, tried=tried)
        try:
            async with router.track(decision) as call:
                text = await call_provider(decision.target, luck)
                call.tokens(input=550, output=150)
                return text
        except ProviderError:
            tried.append(decision.target)
            if len(tried) == 3:
                raise


async def main() -> None:
    """A hundred requests, twenty at a time."""
    luck, requirements = random.Random(7), Requirements(urgency="medium", reliability=0.5)
    async with Router.connect("memory://choose", config=CONFIGURATION, service="chat") as router:
        for _ in range(5):
            await asyncio.gather(*(answer(router, requirements, luck) for _ in range(20)))
        explanation = router.choose(requirements).explain()
        print(f"{explanation.target}: {explanation.reason}")
        for other in explanation.alternatives:
            print(f"  {other.target}: {other.reason}")


asyncio.run(main())
