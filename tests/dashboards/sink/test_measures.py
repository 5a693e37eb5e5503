from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from routecast.models.config import Config
from routecast.models.events import Marker, encode_events
from routecast.servers.influx_faults import Fault, FaultProxy
from routecast.servers.kafka import free_port
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.leadership.leading import producer

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def _scraped(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
    except urllib.error.URLError:
        return 0, ""


def _figures(port: int) -> dict[str, float]:
    """The sums of all series, by name."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(_scraped(port, "/metrics")[1]):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def test_a_sink_tells_what_it_stores_puts_off_and_buries(
    config: Config, store: Any, start_sink: Callable[..., Any], eventually: Callable[..., None], run: Run,
) -> None:  # fmt: skip
    """Scraped while InfluxDB is away and when it is back: points, batches, those put off, lag and dead letters are what was appended."""
    port = free_port()

    async def append() -> None:
        await create_topics(config.kafka)
        async with producer(config) as out:
            for number in range(30):
                value = encode_events([Marker(at_ms=time.time() * 1000.0, emitter="host", title=f"release {number}")])
                await out.send(topic_name(config.kafka, "events"), value, partition=number % 4)
            await out.send_and_wait(topic_name(config.kafka, "metrics"), b"no window", partition=0)

    run(append())
    away = [True]
    with FaultProxy(store.settings.url, lambda _number, _body: Fault("answer", 503, "away") if away[0] else None) as proxy:
        start_sink(proxy.url, "--metrics-port", str(port))
        eventually(lambda: _figures(port).get("routecast_sink_lag") == 31 and _scraped(port, "/readyz")[0] == 503)
        before = _figures(port)
        assert (before["routecast_sink_influx_up"], before["routecast_sink_points_total"], before["routecast_ready"]) == (0, 0, 0)
        assert before["routecast_sink_retries_total"] > 0
        assert _scraped(port, "/healthz")[0] == 200
        away[0] = False
        eventually(lambda: (_figures(port)["routecast_sink_lag"], _figures(port)["routecast_ready"]) == (0, 1))
        stored = _figures(port)
    assert (stored["routecast_sink_influx_up"], stored["routecast_ready"], stored["routecast_dead_letters_total"]) == (1, 1, 1)
    assert len({row["title"] for row in store.query('BUCKET(1y) |> filter(fn: (r) => r._field == "title") |> map(fn: (r) => ({title: r._value}))')}) == 30
    assert stored["routecast_sink_points_total"] >= 30  # and its own, every ten seconds
    assert stored["routecast_sink_batches_total"] > stored["routecast_sink_retries_total"] >= before["routecast_sink_retries_total"]
    assert stored["routecast_sink_rejected_total"] == 0
    assert 0 < stored["routecast_sink_busy_seconds_total"] < 100
