"""The same on Kafka: a broker, a worker process, a router. Give kafka://host:9092 for running brokers; without, one is started (needs Java)."""

import asyncio
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

from routecast import Router
from routecast.servers.kafka import LocalBroker, missing_tools
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import addressed
from routecast.streams.configuration import load_config

CONFIGURATION = f"""
[[target]]
id = "east"
provider = "openai"
model = "gpt-4o"
service = "chat"

[[target]]
id = "west"
provider = "azure"
model = "gpt-4o"
service = "chat"

[intervals]
metrics_ms = 1000

[kafka]
prefix = "example-{uuid.uuid4().hex[:8]}."
"""


def main(stack: ExitStack, folder: Path, url: str | None) -> None:
    """Fifty requests, and what the pipeline says of them."""
    file = folder / "routecast.toml"
    file.write_text(CONFIGURATION)
    url = url or f"kafka://{stack.enter_context(LocalBroker(folder / 'kafka')).bootstrap}"
    asyncio.run(create_topics(addressed(load_config(file, {}), url).kafka))
    command = [sys.executable, "-m", "routecast.cli", "worker", "--config", str(file), "--kafka", url, "--log", "WARNING"]
    worker = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))  # noqa: S603 - routecast itself
    stack.callback(worker.terminate)

    with Router.connect_sync(url, config=file) as router:
        for _ in range(50):
            with router.track(router.choose()) as call:
                call.tokens(input=550, output=150)
        while (chat := router.service("chat")) is None or chat.requests_total < 50:
            time.sleep(0.1)
    for target, n in sorted((name, found.requests_total) for name in ("east", "west") if (found := router.target(name)) is not None):
        print(f"{target}: {n} requests")
    print(f"chat: {chat.outcomes_total.ok} of {chat.requests_total} succeeded")


lacking = missing_tools()
if len(sys.argv) < 2 and lacking:
    print(f"install {' and '.join(lacking)} for a broker of your own, or name a running one: {sys.argv[0]} kafka://host:9092")
else:
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as everything:
        main(everything, Path(scratch), sys.argv[1] if len(sys.argv) > 1 else None)
