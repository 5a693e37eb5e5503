"""Ten providers on local HTTP servers, four of them in trouble, and two thousand requests of which none fails. Needs `pip install httpx`.

The servers answer as ten recorded providers did, ten times faster, over real sockets. One provider goes down, one accepts requests and never
answers, one refuses with 429, one streams slowly; none recovers. Two routers carry out the requests of fifty users at a time.
"""

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

try:
    import httpx
except ImportError:
    raise SystemExit("this example calls its providers over HTTP: pip install httpx") from None

from routecast import Config, Router
from routecast.models.attempts import Attempt
from routecast.models.decision import Decision
from routecast.models.errors import CallFailed, QueueFull
from routecast.recordings import llmperf
from routecast.servers.providers import Provider, Trouble, providers
from routecast.streams.calls.call import Call

SPEED = 10
USERS = 50
TOKENS = 150  # as in the recordings
CONFIG = Config.model_validate(
    {
        "target": [{"id": run.name, "provider": run.provider, "model": run.model, "service": "chat"} for run in llmperf()],
        "routing": {"call": {"deadline_ms": 60_000 / SPEED}},
    }
)
TROUBLES: dict[float, tuple[str, Trouble]] = {
    0.10: ("groq_70b", "down"),
    0.13: ("together_70b", "hang"),
    0.16: ("lepton_7b", "storm"),
    0.19: ("anyscale_7b", "slow"),
}
"""Share of the requests that have begun → who gets which trouble."""
OUTCOMES = ("ok", "error", "rate_limited", "timeout", "cancelled")


class Story:
    """What happens, and what came of it."""

    def __init__(self, requests: int, servers: dict[str, Provider], routers: list[Router], client: httpx.AsyncClient) -> None:
        self.servers = servers
        self.routers = routers
        self.client = client
        self.coming = {round(share * requests): trouble for share, trouble in TROUBLES.items()}
        self.durations_ms: list[float] = []
        self.attempts: list[Attempt] = []
        self.into_trouble: Counter[str] = Counter()
        self.failures: list[str] = []

    async def user(self, numbers: Iterator[int]) -> None:
        """One request after the other."""
        for number in numbers:
            if number in self.coming:
                name, trouble = self.coming[number]
                await self.servers[name].suffer(trouble)
            begun_s, router = time.perf_counter(), self.routers[number % len(self.routers)]
            try:
                answer = await router.call(self.send, max_output_tokens=TOKENS, stream=True)
                self.attempts += answer.attempts
            except CallFailed as error:
                self.attempts += error.attempts
                self.failures.append(str(error))
            except QueueFull as error:
                self.failures.append(str(error))
            self.durations_ms.append((time.perf_counter() - begun_s) * 1000)

    async def send(self, decision: Decision, call: Call) -> int:
        """One attempt: what an application writes itself. The router cancels it when its time is up."""
        server = self.servers[decision.target]
        self.into_trouble[decision.target] += server.trouble != "none"
        received = 0
        async with self.client.stream("POST", server.url, json={"max_tokens": TOKENS}) as response:
            call.headers(response.headers, status=response.status_code)
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                call.first_chunk()
                received += chunk.count(b" ")
        call.tokens(output=received)
        return received


async def tell(requests: int, seed: int) -> Story:
    """Everything from the first server to the last answer."""
    async with (
        providers(llmperf(), SPEED) as servers,
        httpx.AsyncClient(timeout=None, trust_env=False) as client,  # noqa: S113 - the router sets the time of each attempt
        Router.connect("memory://failure-story", CONFIG, rng=random.Random(seed)) as one,
        Router.connect("memory://failure-story", CONFIG, rng=random.Random(seed + 1)) as another,
    ):
        story = Story(requests, servers, [one, another], client)
        numbers = iter(range(requests))
        async with asyncio.TaskGroup() as users:
            for _ in range(USERS):
                users.create_task(story.user(numbers))
        return story


def figures(story: Story, seconds: float) -> dict[str, Any]:
    """The story in figures."""
    ends: dict[str, Counter[str]] = {name: Counter() for name in story.servers}
    for attempt in story.attempts:
        ends[attempt.target][attempt.outcome] += 1
    requests, calling = len(story.durations_ms), CONFIG.routing.call
    p50, p95, p99 = np.percentile(story.durations_ms, [50, 95, 99])
    return {
        "requests": requests,
        "failed": len(story.failures),
        "failures": story.failures,
        "attempts": len(story.attempts),
        "extra_attempts": len(story.attempts) - requests,
        "extra_allowed": calling.retry_ratio * requests + calling.retry_reserve * len(story.routers),
        "p50_ms": round(p50),
        "p95_ms": round(p95),
        "p99_ms": round(p99),
        "seconds": round(seconds, 1),
        "providers": {
            name: {"trouble": server.trouble, "attempts": ends[name].total()}
            | {outcome: ends[name][outcome] for outcome in OUTCOMES}
            | {"while_in_trouble": story.into_trouble[name]}
            for name, server in story.servers.items()
        },
    }


def show(found: dict[str, Any]) -> None:
    """The same as a table."""
    print(f"{'provider':16}{'trouble':>8}{'attempts':>10}{'ok':>7}{'failed':>8}{'429':>6}{'hung':>6}{'cut off':>9}{'in trouble':>12}")
    for name, row in found["providers"].items():
        ok, *others = (row[outcome] for outcome in OUTCOMES)
        failed, refused, hung, cancelled = others
        into = row["while_in_trouble"]
        print(f"{name:16}{row['trouble']:>8}{row['attempts']:10}{ok:7}{failed:8}{refused:6}{hung:6}{cancelled:9}{into:12}")
    print(f"{found['requests']} requests, {found['failed']} failed; {found['extra_attempts']} extra attempts, {found['extra_allowed']:.0f} allowed")
    print(f"p50 {found['p50_ms']} ms, p95 {found['p95_ms']} ms, p99 {found['p99_ms']} ms, {SPEED} times faster than recorded; {found['seconds']} s in all")
    for failure in found["failures"]:
        print(failure)


def main() -> None:
    """Read the command line, tell the story."""
    parser = argparse.ArgumentParser(description="2,000 requests to ten local providers, four of them in trouble")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    begun_s = time.perf_counter()
    story = asyncio.run(tell(arguments.requests, arguments.seed))
    found = figures(story, time.perf_counter() - begun_s)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
