"""Have the router carry out requests: fail over, wait while targets are full, tell what was tried. Runs on the embedded log."""

import asyncio
import random
from collections import Counter

from routecast import Config, Decision, QueueFull, Requirements, Router
from routecast.models.errors import CallFailed
from routecast.streams.calls.call import Call

CONFIG = Config.model_validate(
    {
        "target": [
            {"id": "hosted", "provider": "one", "model": "m", "service": "chat", "capacity": 4},
            {"id": "replica", "provider": "two", "model": "m", "service": "chat", "capacity": 4},
            {"id": "flaky", "provider": "three", "model": "m", "service": "chat", "capacity": 4},
        ],
        "routing": {"overflow": {"queue": 40}},
    }
)


class ServerError(Exception):
    """As a client library raises it."""

    status_code = 503


async def main() -> None:
    """Eighty requests at once for fifteen places."""
    luck, seen = random.Random(7), Counter[tuple[str, str]]()

    async def send(decision: Decision, call: Call) -> str:
        await asyncio.sleep(luck.uniform(0.005, 0.02))
        if decision.target == "flaky" and luck.random() < 0.3:
            raise ServerError
        call.tokens(input=550, output=150)
        return f"answer of {decision.target}"

    async def request(router: Router, requirements: Requirements) -> None:
        try:
            answer = await router.call(send, requirements, deadline_ms=10_000)
            seen["answered", requirements.urgency] += 1
            seen["attempts", requirements.urgency] += len(answer.attempts)
        except QueueFull as error:
            seen["come again", requirements.urgency] += 1
            seen["ms to wait", requirements.urgency] = round(error.retry_after_ms)
        except CallFailed as error:
            print(error.why, [str(attempt) for attempt in error.attempts])

    kinds = [Requirements(urgency="low"), Requirements(), Requirements(urgency="high")]
    async with Router.connect("memory://call", config=CONFIG, service="chat") as router:
        await asyncio.gather(*(request(router, kinds[i % 3]) for i in range(80)))
    for (what, urgency), count in sorted(seen.items()):
        print(f"{urgency:<7} {what:<11} {count}")


asyncio.run(main())
