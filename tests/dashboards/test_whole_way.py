from __future__ import annotations

import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer

from routecast.models.config import Config
from routecast.models.events import Completed, Outcome, encode_events
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import topic_name

Run = Callable[[Coroutine[Any, Any, Any]], Any]

OUTCOMES: tuple[Outcome, ...] = ("ok", "ok", "ok", "error", "timeout", "rate_limited", "cancelled")
FIELDS: dict[Outcome, str] = {"error": "errors", "timeout": "timeouts", "rate_limited": "rate_limited", "cancelled": "cancelled"}


class Truth(NamedTuple):
    """What InfluxDB must say."""

    counts: Counter[tuple[str, str]]
    """By target and field."""
    durations_s: defaultdict[tuple[str, datetime], list[float]]
    """Of successes and timeouts, by target and end of the window."""


async def _emit(config: Config, count: int) -> Truth:
    """Completions of the last half minute in all partitions."""
    luck, now_ms, durations_s = random.Random(1), time.time() * 1000, defaultdict[tuple[str, datetime], list[float]](list)
    truth = Counter[tuple[str, str]]()
    await create_topics(config.kafka)
    async with AIOKafkaProducer(bootstrap_servers=config.kafka.bootstrap, acks="all") as out:
        for i in range(count):
            target, outcome, at_ms = luck.choice("ab"), luck.choice(OUTCOMES), now_ms - luck.uniform(2_000, 32_000)
            duration_ms = luck.uniform(50, 900)
            event = Completed(
                at_ms=at_ms, request_id=str(i), target=target, service="chat", started_at_ms=at_ms - duration_ms, duration_ms=duration_ms, outcome=outcome,
                start_reported=False,
            )  # fmt: skip
            await out.send(topic_name(config.kafka, "events"), encode_events([event]), partition=i % config.kafka.partitions)
            if outcome in {"ok", "timeout"}:
                durations_s[target, datetime.fromtimestamp(at_ms // 10_000 * 10 + 10, UTC)].append(duration_ms / 1000.0)
            truth[target, "requests"] += 1
            if outcome in FIELDS:
                truth[target, FIELDS[outcome]] += 1
        await out.flush()
    return Truth(truth, durations_s)


@pytest.mark.timeout(300)
def test_what_applications_report_is_what_influxdb_holds(
    config: Config, config_file: Path, store: Any, start_worker: Callable[..., Any], run: Run, eventually: Callable[..., None], start_sink: Callable[[str], Any]
) -> None:
    """Events → workers → closed windows → sink → InfluxDB: every count exactly, percentiles within 1 %, the bars, states and scores beside."""
    truth, durations_s = run(_emit(config, 2000))
    start_worker(config_file)
    sink = start_sink(store.settings.url)
    windows = 'BUCKET(7d) |> filter(fn: (r) => r._measurement == "provider_window" and r.target != "_all")'
    query = f'{windows} |> toFloat() |> group(columns: ["target", "_field"]) |> sum()'

    def counts() -> dict[tuple[str, str], int]:
        found = {(row["target"], row["_field"]): round(float(row["_value"])) for row in store.query(query)}
        return {key: found.get(key, 0) for key in truth}

    eventually(lambda: counts() == truth, within_s=200)
    percentiles = store.query(f'{windows} |> filter(fn: (r) => r.window == "10s" and (r._field == "latency_p50_s" or r._field == "latency_p95_s"))')
    assert {(row["target"], datetime.fromisoformat(row["_time"])) for row in percentiles} == set(durations_s)
    for row in percentiles:
        ranked = sorted(durations_s[row["target"], datetime.fromisoformat(row["_time"])])
        rank = (0.5 if row["_field"] == "latency_p50_s" else 0.95) * (len(ranked) - 1)
        low, high = ranked[math.floor(rank)], ranked[math.ceil(rank)]
        assert 0.99 * low <= float(row["_value"]) <= 1.01 * high
    bars = store.query('BUCKET(7d) |> filter(fn: (r) => r._measurement == "latency_hist" and r.target == "a") |> group() |> sum()')
    assert int(bars[0]["_value"]) == truth["a", "requests"] - sum(truth["a", FIELDS[name]] for name in ("error", "rate_limited", "cancelled"))
    eventually(lambda: {"provider_state"} <= {name for name, _, _ in store.points("90d")}, within_s=30)
    eventually(lambda: {"provider_score", "pipeline"} <= {name for name, _, _ in store.points("7d")}, within_s=30)
    assert sink.process.poll() is None
