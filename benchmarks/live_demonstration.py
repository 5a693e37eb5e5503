"""The demonstration with its troubles into InfluxDB, the whole way: real routers, brokers, workers and sink, in real time, with people who intervene."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from grafana_queries import asked

from routecast.demo.demonstration import SERVICE, scene
from routecast.demo.live import Time, perform
from routecast.demo.pipeline import AUTO, LivePipeline
from routecast.models.config import Config, Influx, Kafka
from routecast.models.events import CALLER_FAULTS, Completed, decode_events
from routecast.models.report import LiveReport
from routecast.models.snapshot import RoutingSnapshot
from routecast.servers.local_process import LocalProcess
from routecast.streams.brokers.reading import reader
from routecast.streams.clock import SystemClock
from routecast.streams.configuration_file import as_toml
from routecast.streams.topics import EVENTS

RUN: Final = "demonstration"
DRAINED: Final = "replicate_13b"
"""A target without a trouble of its own, that people take out for a while."""
_PEOPLE: Final[tuple[tuple[float, tuple[str, ...]], ...]] = (
    (0.03, ("send", '{"type": "marker", "title": "deployed", "text": "v2"}')),
    (0.90, ("targets", "drain", DRAINED, "--wait", "0")),
    (0.95, ("targets", "resume", DRAINED, "--wait", "0")),
)
"""What they do, at which share of the time."""
_WINDOW_MS: Final = 10_000
_STORED_S: Final = 120.0
_POLL_S: Final = 1.0
_FIELDS: Final = {"error": "errors", "timeout": "timeouts", "rate_limited": "rate_limited", "cancelled": "cancelled"}

Counts = Counter[tuple[str, str]]
"""By target and field of `provider_window`."""


class Truth(NamedTuple):
    """What the routers reported, read off the log of events."""

    counts: Counts
    durations_s: dict[tuple[str, int], list[float]]
    """Of successes and timeouts, by target and end of the window, epoch ms."""


class Played(NamedTuple):
    """A demonstration that is over and stored."""

    config: Config
    report: LiveReport
    truth: Truth
    begun_ms: float
    """When its virtual time began."""
    ended_ms: float
    """When everything was stored."""


def play(folder: Path, settings: Influx, token: str, seconds: float, speed: float) -> Played:
    """Play it for so many real seconds, wait until InfluxDB holds every count, and replay what was recorded of it into a run of its own."""
    (folder / "token").write_text(token)
    influx, duration_s = settings.model_copy(update={"token_file": str(folder / "token")}), seconds * speed
    with LivePipeline(AUTO, scene(1, duration_s).config(), 1, environ={}, say=print) as pipeline:
        config = pipeline.config.model_copy(update={"influx": influx})
        file = folder / "routecast.toml"
        file.write_text(as_toml(config), encoding="utf-8")
        sink = LocalProcess(folder / "sink.log")
        sink.start(_command("sink", file))
        people = _People(file, duration_s, speed)
        try:
            report = perform(pipeline, 1, duration_s, Time(SystemClock(), time.sleep, speed), routers=8, policy=None, watcher=people.watch)
            truth = asyncio.run(_truth(config.kafka))
            _wait(influx, token, truth.counts, people.begun_ms)
            ended_ms = time.time() * 1000
            _replayed(folder, file)
        finally:
            people.leave()
            sink.stop()
    return Played(config, report, truth, people.begun_ms, ended_ms)


def _command(name: str, file: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "routecast.cli", name, *arguments, "--config", str(file)]


class _People:
    """Say what they say when it is time."""

    def __init__(self, file: Path, duration_s: float, speed: float) -> None:
        self._file, self._duration_s, self._speed = file, duration_s, speed
        self._left = list(_PEOPLE)
        self._said: list[subprocess.Popen[bytes]] = []
        self.begun_ms = 0.0

    def watch(self, _snapshot: RoutingSnapshot | None, at_s: float) -> None:
        """Called every second, with the virtual time."""
        self.begun_ms = self.begun_ms or time.time() * 1000 - at_s / self._speed * 1000
        while self._left and at_s >= self._left[0][0] * self._duration_s:
            (name, *arguments) = self._left.pop(0)[1]
            self._said.append(subprocess.Popen(_command(name, self._file, *arguments), stdout=subprocess.DEVNULL))

    def leave(self) -> None:
        """None of their commands stays behind."""
        for process in self._said:
            process.wait(60)


async def _truth(settings: Kafka) -> Truth:
    counts, durations_s = Counts(), defaultdict[tuple[str, int], list[float]](list)
    async with reader(settings) as read:
        places = await read.partitions(EVENTS)
        for partition, end in (await read.ends(EVENTS, places)).items():
            async for record in read.stretch(EVENTS, partition, 0, end):
                for event in decode_events(record.value or b"[]")[0]:
                    if isinstance(event, Completed):
                        _count(event, counts, durations_s)
    return Truth(counts, durations_s)


def _count(event: Completed, counts: Counts, durations_s: dict[tuple[str, int], list[float]]) -> None:
    own = event.error_type in CALLER_FAULTS
    field = "cancelled" if own else _FIELDS.get(event.outcome, "")
    counts[event.target, "requests"] += 1
    if field:
        counts[event.target, field] += 1
    if event.outcome in {"ok", "timeout"} and not own:
        durations_s[event.target, (int(event.at_ms) // _WINDOW_MS + 1) * _WINDOW_MS].append(event.duration_ms / 1000)


def _wait(influx: Influx, token: str, truth: Counts, begun_ms: float) -> None:
    """Until every count is stored, or as long as is allowed."""
    until_s = time.monotonic() + _STORED_S
    while stored_counts(influx, token, {target for target, _ in truth}, begun_ms) != truth and time.monotonic() < until_s:
        time.sleep(_POLL_S)


def stored_counts(influx: Influx, token: str, targets: Iterable[str], begun_ms: float) -> Counts:
    """What InfluxDB says of these targets since a moment."""
    names = " or ".join(f'r._field == "{name}"' for name in ("requests", *_FIELDS.values()))
    query = f"""from(bucket: "{influx.bucket_prefix}7d")
  |> range(start: time(v: {int(begun_ms) * 1_000_000}))
  |> filter(fn: (r) => r._measurement == "provider_window" and r.window == "10s" and r.service == "{SERVICE}" and r.target != "_all" and ({names}))
  |> group(columns: ["target", "_field"])
  |> sum()"""
    wanted = set(targets)
    found = Counts({(row["target"], row["_field"]): int(row["_value"]) for row in asked(influx, token, query) if row["target"] in wanted})
    return +found


def wrong_percentiles(played: Played, influx: Influx, token: str) -> tuple[int, Sequence[str]]:
    """How many percentiles of windows were compared with those of the events, and which are off by more than 1 %."""
    query = f"""from(bucket: "{influx.bucket_prefix}7d")
  |> range(start: time(v: {int(played.begun_ms) * 1_000_000}))
  |> filter(fn: (r) => r._measurement == "provider_window" and r.window == "10s" and (r._field == "latency_p50_s" or r._field == "latency_p95_s"))
  |> map(fn: (r) => ({{target: r.target, _field: r._field, _value: r._value, end_ms: int(v: r._time) / 1000000}}))"""
    targets = {target.id for target in played.config.target}
    rows = [row for row in asked(influx, token, query) if row["target"] in targets]
    wrong = [f"{row['target']} {row['_field']} at {row['end_ms']}: {row['_value']}" for row in rows if not _right(row, played.truth)]
    return len(rows), wrong


def _right(row: dict[str, str], truth: Truth) -> bool:
    ranked = sorted(truth.durations_s.get((row["target"], int(row["end_ms"])), ()))
    if not ranked:
        return False
    rank = (0.5 if row["_field"] == "latency_p50_s" else 0.95) * (len(ranked) - 1)
    return 0.99 * ranked[math.floor(rank)] <= float(row["_value"]) <= 1.01 * ranked[math.ceil(rank)]


def _replayed(folder: Path, file: Path) -> None:
    """What happened, recorded and stored again as a run, for the dashboard that compares runs."""
    recording = folder / "demonstration.routecast"
    subprocess.run(_command("record", file, "--out", str(recording), "--from", "beginning", "--until-end"), check=True, stdout=subprocess.DEVNULL)
    subprocess.run(_command("replay", file, str(recording), "--influx", "--run", RUN), check=True, stdout=subprocess.DEVNULL)
