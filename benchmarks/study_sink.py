"""`make study-sink`: does InfluxDB hold every point exactly once whatever happens to it, to the network and to the sink.

A real Kafka, a real InfluxDB behind a proxy that fails by a script, and `routecast sink` as a process. Closed windows of 20 targets are on
the log, two points each. While they are stored, the sink is killed three times, InfluxDB is killed and away for a minute, and the proxy goes
through all its faults. A few windows are poison: the server fails on whatever holds them. At the end the points, and the requests they tell
of, must be those of the log; poison must be among the dead letters and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from aiokafka import AIOKafkaProducer

from routecast import Config
from routecast.analytics.sketch import bucket_of, encode_counts
from routecast.dashboards.influx.administration import Administration
from routecast.dashboards.influx.connection import Connection
from routecast.dashboards.influx.line_protocol import Encoder, Line
from routecast.dashboards.influx.writer import MOST_LINES
from routecast.dashboards.points.windows import window_points
from routecast.models.config import Influx
from routecast.models.metrics import CLOSED_WINDOWS, Distribution, WindowRecord
from routecast.servers.influx_faults import Fault, FaultProxy
from routecast.servers.influxd import LocalInflux
from routecast.servers.kafka import LocalBroker
from routecast.streams.brokers.access import SINK
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.reading import reader
from routecast.streams.configuration import load_config

TARGETS = 20
POISON = "poisoned"
POISON_WINDOWS = 5
MOST_MB = 150.0
_WINDOW_MS = 10_000
_MOST_S = 1800.0
FAULTS = (
    Fault("answer", 503, "unavailable"), Fault("reset"), Fault("answer", 429, "slow down", {"Retry-After": "1"}), Fault("lost"), Fault("half"),
    Fault("answer", 500, "internal error"), Fault("slow", seconds=2.0), Fault("answer", 422, "partial write: points beyond retention policy dropped=1"),
    Fault("answer", 413, "too large"), Fault("answer", 400, "unable to parse 'somebody else': invalid"), Fault("answer", 504, "timeout"),
)  # fmt: skip
EVERY = 5
"""One write of so many meets a fault."""
_OF_LINES = frozenset({400, 413, 422})


def fault(number: int, body: bytes) -> Fault | None:
    """What the proxy does. It says nothing untrue of a single line: that would be right to give up."""
    if POISON.encode() in body:
        return Fault("answer", 500, "poisoned")
    drawn = FAULTS[number // EVERY % len(FAULTS)] if number % EVERY == EVERY - 1 else None
    return None if drawn is not None and drawn.status in _OF_LINES and b"\n" not in body else drawn


class Sinks:
    """The sink as a process, one after the other."""

    def __init__(self, config_file: Path) -> None:
        self._config_file = config_file
        self.most_mb = 0.0
        self.kills = 0
        self.process = self._start()
        self._watched = threading.Thread(target=self._watch, daemon=True)
        self._watched.start()

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._config_file.parent / "sink.log").open("ab") as log:
            command = [sys.executable, "-m", "routecast.cli", "sink", "--config", str(self._config_file)]
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def kill(self) -> None:
        """As a crash would, and start another."""
        self.process.kill()
        self.process.wait()
        self.kills += 1
        self.process = self._start()

    def stop(self) -> int:
        """In good order; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def _watch(self) -> None:
        while True:
            with suppress(psutil.Error):
                self.most_mb = max(self.most_mb, psutil.Process(self.process.pid).memory_info().rss / 1e6)
            time.sleep(0.1)


class Truth(NamedTuple):
    """What InfluxDB must hold."""

    windows: int
    requests: int


def windows(count: int, luck: random.Random, now_ms: int) -> list[WindowRecord]:
    """So many closed windows, every fifth of them corrected by a second version; the poison among them."""
    first_ms = (now_ms // _WINDOW_MS - count // TARGETS - 10) * _WINDOW_MS
    found: list[WindowRecord] = []
    for i in range(count):
        start_ms, target = first_ms + i // TARGETS * _WINDOW_MS, f"target-{i % TARGETS:02}"
        record = _window(target, start_ms, luck)
        found.append(record)
        if i % 5 == 0:
            found.append(_window(target, start_ms, luck, version=2))
    for i in range(POISON_WINDOWS):
        found.insert(len(found) * (i + 1) // (POISON_WINDOWS + 1), _window(POISON, first_ms + i * _WINDOW_MS, luck))
    return found


def _window(target: str, start_ms: int, luck: random.Random, version: int = 1) -> WindowRecord:
    us = [int(luck.lognormvariate(13.5, 0.5)) for _ in range(luck.randrange(5, 40))]
    counts: dict[int, int] = {}
    for one in us:
        counts[bucket_of(one)] = counts.get(bucket_of(one), 0) + 1
    duration = Distribution(n=len(us), sum_us=sum(us), min_us=min(us), max_us=max(us), sketch=encode_counts(counts))
    return WindowRecord(
        kind="target", id=target, provider="p", model="m", service="chat", region="r", window="10s", start_ms=start_ms, end_ms=start_ms + _WINDOW_MS,
        covered_ms=_WINDOW_MS, version=version, ok=len(us), error=luck.randrange(3), duration=duration, ttft=duration, tpot=duration, input_tokens=99,
    )  # fmt: skip


def truth_of(records: Sequence[WindowRecord]) -> Truth:
    """The newest version of each window counts."""
    newest = {record.key: record for record in records if record.id != POISON}
    return Truth(len(newest), sum(record.ok + record.error for record in newest.values()))


async def append(config: Config, records: Sequence[WindowRecord]) -> None:
    """Write them to the topic, in their order."""
    async with AIOKafkaProducer(bootstrap_servers=config.kafka.bootstrap, acks="all", linger_ms=20, max_batch_size=1 << 18) as out:
        partitions = len(await out.partitions_for(f"{config.kafka.prefix}metrics"))
        for record in records:
            partition = CLOSED_WINDOWS.index(record.window) if partitions > 1 else 0
            await out.send(f"{config.kafka.prefix}metrics", record.encode(), key=record.key.encode(), partition=partition)
        await out.flush()


async def left(config: Config) -> int:
    """Records of the topic that are not committed yet."""
    async with reader(config.kafka, group=config.kafka.prefix + SINK) as read:
        places = await read.partitions("metrics")
        ends = await read.ends("metrics", places)
        return sum([end - await read.committed("metrics", place) for place, end in ends.items()])


async def dead_letters(config: Config) -> list[str]:
    """Keys of what could not be stored, each once."""
    async with reader(config.kafka) as read:
        end = (await read.ends("deadletter", [0]))[0]
        return sorted({record.value.decode() if record.value else "" async for record in read.stretch("deadletter", 0, 0, end)})


def asked(server: LocalInflux, flux: str) -> int:
    """The one number of a Flux query."""
    headers = {"Authorization": f"Token {server.token}", "Content-Type": "application/vnd.flux", "Accept": "application/csv"}
    request = urllib.request.Request(f"{server.url}/api/v2/query?org={server.organisation}", flux.encode(), headers)  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310 - our own address
        rows = answer.read().decode().split()
    return int(float(rows[1].split(",")[-1])) if len(rows) > 1 else 0


def stored(server: LocalInflux) -> Truth:
    """What InfluxDB holds."""
    points = 'from(bucket: "routecast_7d") |> range(start: -7d, stop: 1h)'
    windows = f'{points} |> filter(fn: (r) => r._measurement == "provider_window" and r._field == "requests") |> group() |> keep(columns: ["_value"])'
    bars = f'{points} |> filter(fn: (r) => r._measurement == "latency_hist" and r._field == "le_inf") |> group() |> keep(columns: ["_value"]) |> count()'
    counted, summed = asked(server, f"{windows} |> count()"), asked(server, f"{windows} |> sum()")
    if asked(server, bars) != counted:
        raise SystemExit(f"{asked(server, bars)} histograms beside {counted} windows")
    return Truth(counted, summed)


def limit(server: LocalInflux, lines: Sequence[Line], settings: Influx) -> float:
    """Lines a second that the server takes on one connection, with nothing in between."""
    connection = Connection(settings.model_copy(update={"url": server.url}), server.token)
    began_s = time.perf_counter()
    for first in range(0, len(lines), MOST_LINES):
        if connection.write(lines[0].destination, lines[first : first + MOST_LINES]).status != 204:
            raise SystemExit("the server refuses what it is measured with")
    connection.close()
    return len(lines) / (time.perf_counter() - began_s)


def progress(config: Config, sinks: Sinks, total: int, share: float, folder: Path) -> None:
    """Wait until this share of the records is committed."""
    until_s = time.monotonic() + _MOST_S
    while asyncio.run(left(config)) > total * (1 - share):
        if sinks.process.poll() is not None or time.monotonic() > until_s:
            raise SystemExit(f"the sink ended or stands still:\n{(folder / 'sink.log').read_text()[-3000:]}")
        time.sleep(0.2)


def run(folder: Path, points: int, outage_s: float, seed: int) -> bool:
    """One run; whether everything was as it must be."""
    luck = random.Random(seed)
    with LocalBroker(folder / "kafka") as broker, LocalInflux(folder / "influx") as server:
        with FaultProxy(server.url, fault) as proxy:
            config = _configured(folder, broker, server, proxy)
            records = windows(points // 2, luck, int(time.time() * 1000))
            asyncio.run(create_topics(config.kafka))
            asyncio.run(append(config, records))
            truth, began_s = truth_of(records), time.monotonic()
            sinks = Sinks(folder / "routecast.toml")
            for share in (0.1, 0.3):
                progress(config, sinks, len(records), share, folder)
                sinks.kill()
            progress(config, sinks, len(records), 0.5, folder)
            server.kill()
            time.sleep(outage_s / 2)
            sinks.kill()
            time.sleep(outage_s / 2)
            server.start()
            progress(config, sinks, len(records), 1.0, folder)
            took_s = time.monotonic() - began_s
            code = sinks.stop()
            found, dead = stored(server), asyncio.run(dead_letters(config))
        lines = [Encoder(point.measurement).line(point) for record in records[:20_000] for point in window_points(record)[:1]]
        most = limit(server, lines, config.influx)
    statuses = {status: proxy.statuses.count(status) for status in sorted(set(proxy.statuses))}
    poisoned = [text for text in dead if POISON in text]
    print(f"{2 * truth.windows:,} points in {took_s:.0f} s, {sinks.kills} kills, {outage_s:.0f} s of outage; answers {json.dumps(statuses)}")
    print(f"stored {found.windows:,} windows with {found.requests:,} requests; on the log {truth.windows:,} with {truth.requests:,}")
    print(f"dead letters {len(dead)}, all of them poison: {len(poisoned) == len(dead)}; memory at most {sinks.most_mb:.0f} MB (aim < {MOST_MB:.0f})")
    print(f"the server's own limit, one connection: {most:,.0f} lines of 30 fields a second")
    return found == truth and len(dead) == len(poisoned) == 2 * POISON_WINDOWS and sinks.most_mb < MOST_MB and code == 0


def _configured(folder: Path, broker: LocalBroker, server: LocalInflux, proxy: FaultProxy) -> Config:
    targets = "".join(f'[[target]]\nid = "target-{i:02}"\nprovider = "p"\nmodel = "m"\nservice = "chat"\n' for i in range(TARGETS))
    influx = f'url = "{proxy.url}"\ntoken_file = "{folder / "write"}"\nread_token_file = "{folder / "read"}"\n'
    file = folder / "routecast.toml"
    file.write_text(f'{targets}[kafka]\nbootstrap = "{broker.bootstrap}"\n[influx]\n{influx}')
    config = load_config(file, {})
    Administration(config.influx.model_copy(update={"url": server.url}), server.token).make(save=True)
    return config


def main() -> int:
    """Run as asked; 1 where something was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=300_000)
    parser.add_argument("--outage", type=float, default=60.0, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="study-sink-") as name:
        exact = run(Path(name), options.points, options.outage, options.seed)
    print("exact" if exact else "NOT exact")
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
