"""The worker on a real Kafka: CPU of its process per event, saturated and paced, and its memory under a backlog.

CPU time, not wall time: the broker, the producer and whatever else runs here share the cores.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import core
import psutil

from routecast.models.config import Config, Kafka
from routecast.models.events import Completed, Event, Started, encode_events
from routecast.models.tick import TickRecord, decode_tick
from routecast.servers.kafka import LocalBroker
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.reading import reader
from routecast.streams.configuration import load_config
from routecast.streams.leadership.leading import producer
from routecast.streams.topics import EVENTS, TICKS

ENOUGH_S = 240.0
"""Whatever takes longer is broken."""
_STOP_S = 30.0
_PATIENT_MS = 60_000
"""Session timeout of a worker that is made to stand still."""


class WorkerProcess:
    """`routecast worker` as a process of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.log = folder / f"{name}.log"
        command = [sys.executable, "-m", "routecast.cli", "worker", "--config", str(folder / "routecast.toml")]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        self.usage = psutil.Process(self.process.pid)

    def wait_for(self, words: str) -> None:
        """Wait until it says this."""
        await_true(lambda: words in self.log.read_text(), f"{words!r} in {self.log}")

    @property
    def cpu_s(self) -> float:
        """CPU it has used, in both modes."""
        times = self.usage.cpu_times()
        return times.user + times.system

    def stop(self) -> None:
        """End it in good order, or by force where it does not."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Pipeline:
    """A broker, topics, a configuration in a file, and workers on it."""

    def __init__(self, folder: Path, broker: LocalBroker, config: Config) -> None:
        self.folder, self.broker, self.config = folder, broker, config
        self.workers: list[WorkerProcess] = []

    def start_worker(self) -> WorkerProcess:
        """Another worker, ready."""
        worker = WorkerProcess(self.folder, f"worker-{len(self.workers)}")
        self.workers.append(worker)
        worker.wait_for("ready: ")
        return worker

    def feed_asleep(self, worker: WorkerProcess, records: Sequence[bytes]) -> None:
        """`feed` while this worker stands still: then all of it waits on the brokers, and they and the producer take no time from it."""
        worker.process.send_signal(signal.SIGSTOP)
        self.feed(records)
        worker.process.send_signal(signal.SIGCONT)

    def feed(self, records: Sequence[bytes]) -> None:
        """Write these records to all partitions in turn."""
        asyncio.run(self._feed(records))

    async def _feed(self, records: Sequence[bytes]) -> None:
        async with producer(self.config, linger_ms=5, max_batch_size=1 << 20) as out:
            for i, record in enumerate(records):
                await out.send(self.config.kafka.prefix + EVENTS, record, partition=i % self.config.kafka.partitions)

    def ticks(self) -> list[TickRecord]:
        """All ticks so far."""
        return asyncio.run(self._ticks())

    async def _ticks(self) -> list[TickRecord]:
        async with reader(self.config.kafka) as read:
            end = (await read.ends(TICKS, [0]))[0]
            records = [decode_tick(record.value or b"") async for record in read.stretch(TICKS, 0, 0, end)]
        return [record for record in records if isinstance(record, TickRecord)]

    def folded(self) -> bool:
        """Whether the newest tick contains all events."""
        return asyncio.run(self._folded())

    async def _folded(self) -> bool:
        async with reader(self.config.kafka) as read:
            ends = await read.ends(EVENTS, list(range(self.config.kafka.partitions)))
            value = (await read.newest(TICKS, [b""]))[0].get(b"")
        tick = decode_tick(value) if value else None
        return isinstance(tick, TickRecord) and all(tick.offsets.get(partition, -1) >= end - 1 for partition, end in ends.items())


def loaded(file: Path) -> Config:
    """The configuration of a pipeline, as its processes read it."""
    return load_config(file, {})


@contextmanager
def pipeline(n_targets: int, partitions: int = 1, session_timeout_ms: int = _PATIENT_MS) -> Generator[Pipeline]:
    """A pipeline of one broker for so many targets of one service; everything ends with it."""
    with tempfile.TemporaryDirectory() as scratch, LocalBroker(Path(scratch, "kafka")) as broker:
        folder = Path(scratch)
        kafka = Kafka(bootstrap=broker.bootstrap, partitions=partitions, session_timeout_ms=session_timeout_ms)
        targets = core.configuration(n_targets).target
        config = Config.model_validate({"target": targets, "kafka": kafka})
        lines = [f'[[target]]\nid = "{t.id}"\nprovider = "{t.provider}"\nmodel = "{t.model}"\nservice = "{t.service}"\n' for t in targets]
        lines += [f'[kafka]\nbootstrap = "{kafka.bootstrap}"\npartitions = {partitions}\nsession_timeout_ms = {session_timeout_ms}\n']
        (folder / "routecast.toml").write_text("\n".join(lines))
        asyncio.run(create_topics(kafka))
        running = Pipeline(folder, broker, config)
        try:
            yield running
        finally:
            for worker in running.workers:
                worker.stop()


def await_true(true: Callable[[], Any], what: str) -> None:
    """Wait until it is true; gives up with an error."""
    until_s = time.monotonic() + ENOUGH_S
    while not true():
        if time.monotonic() > until_s:
            raise SystemExit(f"waited {ENOUGH_S:.0f} s in vain for {what}")
        time.sleep(0.05)


def recent(n_targets: int, n_events: int, batch: int, seconds: float = 10.0) -> list[bytes]:
    """Records of as many events of the last seconds, in the order of time: what waits after a pause."""
    events: list[Event] = []
    for happened in live(n_targets, n_events / seconds, time.time() * 1000 - seconds * 1000):
        events += happened
        if len(events) >= n_events:
            return [encode_events(events[i : i + batch]) for i in range(0, n_events, batch)]
    return []


def saturated() -> list[core.Row]:
    """More events than it can take, by events a record, number of targets, partitions."""
    goals = {(100, 20, 1): "≤ 6.7 µs", (100, 1000, 4): "≤ 10 µs, > 150,000 events a second"}
    cases = [(batch, n_targets, 1) for n_targets in (20, 200, 1000) for batch in (1, 10, 100)] + [(100, 20, 4), (100, 1000, 4)]
    return [_saturated(*case, goals.get(case, "")) for case in cases]


def _saturated(batch: int, n_targets: int, partitions: int, goal: str) -> core.Row:
    n = {1: 50_000, 10: 200_000, 100: 600_000}[batch]
    costs: list[float] = []
    rate = 0.0
    with pipeline(n_targets, partitions) as running:
        worker = running.start_worker()
        await_true(running.ticks, "the first tick")
        for _ in range(3):
            records = recent(n_targets, n, batch)
            before_s = worker.cpu_s
            running.feed_asleep(worker, records)
            began_s = time.monotonic()
            await_true(running.folded, "all events in a snapshot")
            costs.append((worker.cpu_s - before_s) / n * 1e6)
            rate = max(rate, n / (time.monotonic() - began_s))
        leader_ms = _at_rest_ms(worker)
    measure = f"worker saturated, {n_targets} targets, {batch} events a record, {partitions} partitions"
    return core.Row(measure, f"{statistics.median(costs):.2f} µs an event; {rate:,.0f}/s; at rest {leader_ms:.0f} ms/s", goal)


def _at_rest_ms(worker: WorkerProcess) -> float:
    """CPU per second of a worker without events that still ticks: the leader's share."""
    seconds = 10.0
    before_s = worker.cpu_s
    time.sleep(seconds)
    return (worker.cpu_s - before_s) / seconds * 1000


def paced() -> list[core.Row]:
    """50,000 events a second as they happen, 100 a record."""
    rows: list[core.Row] = []
    for n_targets, partitions in ((20, 1), (20, 4)):
        with pipeline(n_targets, partitions) as running:
            worker = running.start_worker()
            before_s = worker.cpu_s
            sent = asyncio.run(_pace(running, n_targets, per_second=50_000, seconds=25.0))
            await_true(running.folded, "all events in a snapshot")
            spent_s = worker.cpu_s - before_s
        goal = "≤ 11 µs" if partitions == 1 else ""
        rows.append(core.Row(f"worker paced, 50,000/s, {n_targets} targets, {partitions} partitions", f"{spent_s / sent * 1e6:.2f} µs an event", goal))
    return rows


async def _pace(running: Pipeline, n_targets: int, per_second: int, seconds: float, batch: int = 100) -> int:
    """Send so many events a second for so long; how many were sent."""
    sent, partitions = 0, running.config.kafka.partitions
    async with producer(running.config, linger_ms=2) as out:
        until_ms = time.time() * 1000 + seconds * 1000
        for events in live(n_targets, per_second, time.time() * 1000):
            for i in range(0, len(events), batch):
                await out.send(running.config.kafka.prefix + EVENTS, encode_events(events[i : i + batch]), partition=sent // batch % partitions)
                sent += len(events[i : i + batch])
            await asyncio.sleep(max(0.0, events[-1].at_ms / 1000 - time.time()))
            if time.time() * 1000 > until_ms:
                return sent
    return sent


def live(n_targets: int, per_second: float, start_ms: float, slice_ms: float = 20.0) -> Iterator[list[Event]]:
    """What happens in each slice of time, without end."""
    luck, waiting, number = random.Random(3), list[tuple[float, int, Completed]](), 0
    while True:
        events: list[Event] = []
        for _ in range(max(1, int(per_second * slice_ms / 2000))):
            number += 1
            name, target, duration_ms = f"host-4711-9f3a2b1c-{number}", f"target-{luck.randrange(n_targets):04}", luck.lognormvariate(6, 0.6)
            began: dict[str, Any] = {"request_id": name, "target": target, "service": "chat", "emitter": "host-4711-9f3a2b1c"}
            events.append(Started(at_ms=start_ms, provider="provider-1", model="model-2", **began))
            ended = Completed(
                at_ms=start_ms + duration_ms, started_at_ms=start_ms, duration_ms=duration_ms, outcome="ok", ttft_ms=duration_ms / 5,
                input_tokens=550, output_tokens=150, **began,
            )  # fmt: skip
            heapq.heappush(waiting, (ended.at_ms, number, ended))
        start_ms += slice_ms
        while waiting and waiting[0][0] <= start_ms:
            events.append(heapq.heappop(waiting)[2])
        yield events


def backlog() -> list[core.Row]:
    """Memory of a worker that finds two million events, and of one that is overrun by them."""
    with pipeline(20, 4) as running:
        running.feed(recent(20, 2_000_000, 100, 40.0))
        worker = WorkerProcess(running.folder, "late")
        running.workers.append(worker)
        found = _peak_mb(running, worker)
        worker.stop()
    with pipeline(20, 4) as running:
        worker = running.start_worker()
        running.feed_asleep(worker, recent(20, 2_000_000, 100, 40.0))
        overrun = _peak_mb(running, worker)
    return [
        core.Row("worker: memory, 2,000,000 events found at its start", f"{found:.0f} MB at most", "< 150 MB"),
        core.Row("worker: memory, 2,000,000 events at once while it runs", f"{overrun:.0f} MB at most", "< 150 MB"),
    ]


def _peak_mb(running: Pipeline, worker: WorkerProcess) -> float:
    await_true(running.folded, "all events in a snapshot")
    peak_kb = next(line for line in Path(f"/proc/{worker.process.pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak_kb.split()[1]) / 1000
