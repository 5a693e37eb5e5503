from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from routecast.models.config import Config
from routecast.models.insights import Alert, Subject, encode_insight
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.brokers.reading import reader
from routecast.streams.clock import SystemClock
from routecast.streams.leadership.leading import producer
from routecast.streams.notifications.notifying import Notifying
from routecast.streams.notifications.posting import poster

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Receiver(Protocol):
    """The `receiver` fixture."""

    script: list[tuple[int, Mapping[str, str]] | None]
    posts: list[tuple[str, dict[str, Any]]]
    held: Any
    url: str
    keys: list[str]


def _alert(name: str, version: int = 1, *, notify: bool = True) -> Alert:
    return Alert(
        id=name, version=version, incident=name, notify=notify, kind="error_rate", severity="critical", state="raised",
        subject=Subject(kind="target", id="a", service="chat"), rule="burn_rate", title=f"Target a fails ({name})", threshold=14.4, value=100.0, target=1.0,
        unit="burn_rate", started_ms=1.0, at_ms=2.0,
    )  # fmt: skip


class Log:
    """The topic of insights, and what reads it in this process."""

    def __init__(self, config: Config, receiver: Receiver) -> None:
        self.config = config
        self.slept: list[float] = []
        self._receiver = receiver
        self._tasks: list[asyncio.Task[None]] = []

    async def say(self, *alerts: Alert) -> None:
        """As the leader does."""
        await self.append(*((alert.key.encode(), encode_insight(alert)) for alert in alerts))

    async def append(self, *records: tuple[bytes, bytes]) -> None:
        """Anything."""
        async with producer(self.config) as out:
            for key, value in records:
                await out.send_and_wait(topic_name(self.config.kafka, "insights"), value, key=key, partition=0)

    async def begin(self) -> None:
        """Start another reader."""
        opened = lambda: poster(self._receiver.url, 5_000.0)  # noqa: E731 - short
        notifying = Notifying(self.config, opened, SystemClock(), random.Random(1), self._sleep)
        self._tasks.append(asyncio.create_task(notifying.run()))

    async def end(self) -> None:
        """Stop the oldest reader."""
        task = self._tasks.pop(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.0)

    async def committed(self) -> int:
        """Where the group is."""
        async with reader(self.config.kafka, group=f"{self.config.kafka.prefix}notify") as read:
            return await read.committed("insights", 0)

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for something that goes on meanwhile."""
        async with asyncio.timeout(30):
            while not true():  # noqa: ASYNC110 - it happens in a thread
                await asyncio.sleep(0.02)

    async def until_committed(self, offset: int) -> None:
        """Wait for the group to be there."""
        async with asyncio.timeout(30):
            while await self.committed() < offset:  # noqa: ASYNC110 - it happens at the broker
                await asyncio.sleep(0.05)


@asynccontextmanager
async def _log(config: Config, receiver: Receiver) -> AsyncGenerator[Log]:
    """An empty log with one reader that has the partition."""
    await create_topics(config.kafka)
    log = Log(config, receiver)
    await log.begin()
    await log.say(_alert("old", notify=False))
    await log.until_committed(1)
    try:
        yield log
    finally:
        while log._tasks:
            await log.end()


def test_alerts_are_told_in_order_and_once(config: Config, receiver: Receiver, run: Run) -> None:
    """Those that are to wake somebody; what a new leader says again is told already, also to a reader that has just taken over."""

    async def story() -> None:
        async with _log(config, receiver) as log:
            await log.say(_alert("a"), _alert("b", notify=False), _alert("c"), _alert("a", 2), _alert("c"))
            await log.until_committed(6)
            assert receiver.keys == ["a/1", "c/1", "a/2"]
            await log.end()
            await log.say(_alert("a", 2), _alert("d"))
            await log.begin()
            await log.until_committed(8)
            assert receiver.keys == ["a/1", "c/1", "a/2", "d/1"]

    run(story())
    assert [body["text"] for _, body in receiver.posts[:2]] == ["critical: Target a fails (a)", "critical: Target a fails (c)"]


def test_what_was_said_before_anybody_listened_is_not_told(config: Config, receiver: Receiver, run: Run) -> None:
    """A webhook that is configured today is not told of last month."""

    async def story() -> None:
        await create_topics(config.kafka)
        log = Log(config, receiver)
        await log.say(_alert("before"))
        await log.begin()
        await log.until_committed(1)
        await log.say(_alert("after"))
        await log.until_committed(2)
        await log.end()

    run(story())
    assert receiver.keys == ["after/1"]


def test_a_receiver_that_fails_is_asked_again_and_nothing_overtakes(config: Config, receiver: Receiver, run: Run) -> None:
    """With the same key, after growing waits, or the one it asks for, at most a minute."""
    receiver.script = [(503, {}), None, (429, {"Retry-After": "7"}), (500, {"Retry-After": "3600"})]

    async def story() -> list[float]:
        async with _log(config, receiver) as log:
            await log.say(_alert("a"), _alert("b"))
            await log.until_committed(3)
            return log.slept

    slept = run(story())
    assert receiver.keys == ["a/1"] * 5 + ["b/1"]
    assert slept[0] < 1.0
    assert slept[1] < 2.0
    assert slept[2:] == [7.0, 60.0]


def test_what_is_refused_for_good_goes_to_the_dead_letters(config: Config, receiver: Receiver, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """With a complaint that does not tell the address; the next one is told."""
    receiver.script = [(404, {})]

    async def story() -> Sequence[tuple[bytes, bytes | None]]:
        async with _log(config, receiver) as log:
            await log.say(_alert("a"), _alert("b"))
            await log.until_committed(3)
        return await _dead(config)

    assert run(story()) == [(b"insights/0/1: the webhook refuses: 404: ok", encode_insight(_alert("a")))]
    assert receiver.keys == ["a/1", "b/1"]
    assert "the webhook refuses alert a/1 (404: ok)" in caplog.text
    assert "secret" not in caplog.text


def test_what_is_no_insight_goes_to_the_dead_letters(config: Config, receiver: Receiver, run: Run) -> None:
    """Nothing that stands in the topic stops the next alert."""

    async def story() -> Sequence[tuple[bytes, bytes | None]]:
        async with _log(config, receiver) as log:
            await log.append((b"alert/x", b"\xff{"), (b"alert/y", b'{"type":"alert"}'), (b"", b"?"))
            await log.say(_alert("a"))
            await log.until_committed(5)
        return await _dead(config)

    assert [value for _, value in run(story())] == [b"\xff{", b'{"type":"alert"}']
    assert receiver.keys == ["a/1"]


def test_two_readers_tell_each_alert_once(config: Config, receiver: Receiver, run: Run) -> None:
    """One of them is active; when it goes, the other takes over where it was."""

    async def story() -> None:
        async with _log(config, receiver) as log:
            await log.begin()
            for n in range(20):
                await log.say(_alert(f"{n}"))
            await log.until(lambda: "19/1" in receiver.keys)
            await log.end()
            for n in range(20, 25):
                await log.say(_alert(f"{n}"))
            await log.until(lambda: "24/1" in receiver.keys)

    run(story())
    assert list(dict.fromkeys(receiver.keys)) == [f"{n}/1" for n in range(25)]
    assert len(receiver.keys) <= 26  # a partition that moves may repeat what was under way


async def _dead(config: Config) -> Sequence[tuple[bytes, bytes | None]]:
    async with reader(config.kafka) as read:
        end = (await read.ends("deadletter", [0]))[0]
        return [(record.key, record.value) async for record in read.stretch("deadletter", 0, 0, end)]


def _with_webhook(config_file: Path, receiver: Receiver) -> None:
    secret = config_file.parent / "webhook"
    secret.write_text(receiver.url)
    config_file.write_text(f'{config_file.read_text()}\n[alerts]\nwebhook_file = "{secret}"\n')


@pytest.mark.alone
def test_a_worker_that_dies_before_it_notes_a_delivery_has_it_repeated(
    config: Config, config_file: Path, receiver: Receiver, run: Run, start_worker: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    """Under the same key, by the next worker, and then the rest in order: at least once, nothing lost."""
    _with_webhook(config_file, receiver)
    worker = start_worker(config_file)
    worker.wait_for("telling of alerts from offset")
    log = Log(config, receiver)
    receiver.held.clear()
    run(log.say(_alert("a"), _alert("b")))
    eventually(lambda: receiver.keys == ["a/1"])
    worker.process.kill()
    receiver.held.set()
    other = start_worker(config_file)
    eventually(lambda: receiver.keys == ["a/1", "a/1", "b/1"])
    assert other.stop() == 0
    assert "secret" not in worker.said + other.said.replace("webhook", "")


def test_a_worker_with_a_webhook_without_an_address_does_not_start(config_file: Path, receiver: Receiver, start_worker: Callable[..., Any]) -> None:
    """Exit code 3, and what to write where, also where it would have started several processes."""
    _with_webhook(config_file, receiver)
    (config_file.parent / "webhook").write_text("secret")
    worker = start_worker(config_file, "--workers", "2")
    assert worker.process.wait(60) == 3
    assert "holds no address: write one such as https://host/path into it" in worker.said
