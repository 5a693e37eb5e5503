from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from routecast.models.config import Config, Kafka
from routecast.models.errors import ConfigError
from routecast.servers.kafka import LocalBroker
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import addressed, paced
from tests.conftest import TARGETS, Worker

ASKED = re.compile(r"^(\S+ \S+),(\d+) DEBUG .*Sending metadata request", re.MULTILINE)
FIRST, ASKS = 30, 60
CONFIG = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})


def test_whoever_asks_for_metadata_too_often_waits_and_shares_the_answer(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """The first questions are put at once, as at the start of a client."""
    asked: list[int] = []

    async def ask() -> bool:
        asked.append(len(asked))
        return True

    async def main() -> None:
        calm = paced(ask, at_most=3, within_s=0.2)
        began_s = asyncio.get_running_loop().time()
        for _ in range(3):
            assert await calm()
        assert asyncio.get_running_loop().time() - began_s < 0.2
        fourth, fifth = asyncio.ensure_future(calm()), asyncio.ensure_future(calm())
        await asyncio.sleep(0)
        assert not fourth.done()
        assert all(await asyncio.gather(fourth, fifth))
        assert asyncio.get_running_loop().time() - began_s >= 0.2

    run(main())
    assert len(asked) == 4


def test_a_worker_leaves_the_brokers_in_peace_while_partitions_have_no_leader(
    start_brokers: Callable[[int], Sequence[LocalBroker]], tmp_path: Path, start_worker: Callable[..., Worker], run: Callable[[Coroutine[Any, Any, Any]], Any],
    eventually: Callable[..., None],
) -> None:  # fmt: skip
    """Its clients would ask the one that is left who leads them, as often as it answers."""
    two_brokers = start_brokers(2)
    settings = Kafka(bootstrap=",".join(broker.bootstrap for broker in two_brokers), replication=1)
    run(create_topics(settings))
    file = tmp_path / "routecast.toml"
    file.write_text(f'{TARGETS}\n[kafka]\nbootstrap = "{settings.bootstrap}"\nreplication = 1\n')
    worker = start_worker(file, "--log", "DEBUG")
    worker.wait_for("ready: partitions")
    two_brokers[1].stop()
    before = len(ASKED.findall(worker.said))
    eventually(lambda: len(ASKED.findall(worker.said)) >= before + ASKS)
    worker.process.kill()  # it would wait for the brokers
    at_s = [datetime.fromisoformat(when).timestamp() + int(ms) / 1000.0 for when, ms in ASKED.findall(worker.said)[before:]]
    later = at_s[FIRST:ASKS]  # what each client asks at once, eight times, does not count
    assert len(later) / (later[-1] - later[0]) < 50.0, "questions a second"


@pytest.mark.parametrize("url", ["localhost:9092", "http://localhost:9092", "kafka://", "kafka://localhost:port", "kafka://localhost:9092/topic"])
def test_an_address_that_leads_nowhere_is_refused(url: str) -> None:
    """Before a client tries it, with what is right."""
    with pytest.raises(ConfigError, match="give 'kafka://host:9092"):
        addressed(CONFIG, url)


def test_a_login_in_an_address_is_not_shown() -> None:
    """Errors end up in logs."""
    with pytest.raises(ConfigError, match="holds no login") as refused:
        addressed(CONFIG, "kafka://user:secret@localhost:9092")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "bootstrap"),
    [("kafka://a", "a:9092"), ("kafka://a:1,b:2", "a:1,b:2"), ("kafka://127.0.0.1:9", "127.0.0.1:9"), ("kafka://[::1]:9", "[::1]:9")],
)
def test_brokers_of_an_address(url: str, bootstrap: str) -> None:
    """Names, numbers of both kinds, several."""
    assert addressed(CONFIG, url).kafka.bootstrap == bootstrap
