from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Read

from routecast.models import telemetry as t
from routecast.models.config import Config
from routecast.models.errors import ConfigError
from routecast.models.events import Completed, Event, Outcome, Started, encode_events
from routecast.models.telemetry import Bars, Sample
from routecast.servers.kafka import free_ports
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.exposition import Address, serving, text
from routecast.streams.leadership.leading import producer
from routecast.streams.measures import Timing

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def _scraped(port: int, path: str = "/metrics") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def _samples(exposed: str) -> list[Read]:
    return [sample for family in text_string_to_metric_families(exposed) for sample in family.samples]


def _sum(samples: Iterable[Read], name: str, **labels: str) -> float:
    """Of all series of this name with these labels."""
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())


def test_figures_are_read_as_they_were_told() -> None:
    """Counters, gauges and distributions, whatever is in a label; beside them what the system tells of the process."""
    bars = Bars((1, 0, 2, *[0] * 11, 4), 5.5)
    told = [Sample(t.FOLDED, 7), Sample(t.LAG, 3, ("0",)), Sample(t.LAG, 4, ("1",)), Sample(t.DURATION, bars, ('a "b"\n\\', "chat", "p", "m"))]
    found = _samples(text(told).decode())
    assert (_sum(found, "routecast_events_folded_total"), _sum(found, "routecast_events_lag", partition="1")) == (7, 4)
    named = {sample.labels["le"]: sample.value for sample in found if sample.name == "gen_ai_client_operation_duration_seconds_bucket"}
    assert (named["0.01"], named["0.02"], named["0.04"], named["81.92"], named["+Inf"]) == (1, 1, 3, 3, 7)
    assert {sample.labels["target"] for sample in found if "target" in sample.labels} == {'a "b"\n\\'}
    assert _sum(found, "gen_ai_client_operation_duration_seconds_sum") == 5.5
    assert _sum(found, "process_resident_memory_bytes") > 1e7


def test_probes_say_whether_it_lives_and_whether_it_works(run: Run) -> None:
    """Alive as long as the loop answers; nothing else is served, and nothing when it is over."""
    port, works = free_ports(1)[0], [False]

    async def asked() -> list[tuple[int, str]]:
        async with serving(Address("127.0.0.1", port).listening(), lambda: [Sample(t.LEADS, 1)], lambda: works[0]):
            answers = [await asyncio.to_thread(_scraped, port, path) for path in ("/healthz", "/readyz", "/", "/metrics")]
            works[0] = True
            return [*answers, await asyncio.to_thread(_scraped, port, "/readyz")]

    healthz, not_ready, nothing, metrics, ready = run(asked())
    assert [healthz, not_ready, nothing[0], ready] == [(200, "ok\n"), (503, "not ready\n"), 404, (200, "ready\n")]
    assert (_sum(_samples(metrics[1]), "routecast_leader"), _sum(_samples(metrics[1]), "routecast_ready")) == (1, 0)
    assert _scraped(port) == (0, "")


def test_a_port_that_is_taken_is_said_at_once() -> None:
    """In one sentence."""
    address = Address("127.0.0.1", free_ports(1)[0])
    with address.listening(), pytest.raises(ConfigError, match=f"cannot be served at 127.0.0.1:{address.port} .Address already in use.: give another"):
        address.check()
    address.check()


def test_a_duration_is_counted_up_to_its_bound() -> None:
    """The bound included, the last bar open."""
    timing = Timing()
    for seconds in (0.0, 0.01, 0.011, 81.92, 82.0):
        timing.add(seconds)
    assert timing.bars.counts == (2, 1, *[0] * 11, 1, 1)
    assert timing.bars.sum_s == pytest.approx(163.941)


def _traffic() -> list[Event]:
    """To a, b and c of the configuration and to a stranger; some fail, the last one is still open."""
    now_ms = time.time() * 1000.0
    events: list[Event] = []
    for number in range(40):
        target = "abcz"[number % 4]
        outcome: Outcome = "ok" if number % 5 else "error"
        service, name = "mail" if target == "c" else "chat", f"r{number}"
        events.append(Started(at_ms=now_ms - 200, emitter="host-1-x", request_id=name, target=target, service=service))
        if number < 39:
            events.append(Completed(
                at_ms=now_ms, emitter="host-1-x", request_id=name, target=target, service=service, started_at_ms=now_ms - 200, duration_ms=200.0,
                ttft_ms=50.0, outcome=outcome, input_tokens=100, output_tokens=10, cost_usd=0.25,
            ))  # fmt: skip
    return events


@pytest.mark.timeout(200)
def test_workers_tell_the_truth(config: Config, config_file: Path, start_worker: Callable[..., Any], eventually: Callable[..., None], run: Run) -> None:
    """Two workers, scraped: events that were folded and could not be, lag, who leads, and of each target what the log says of it."""
    ports, events = _two_in_a_row(), _traffic()

    async def say() -> None:
        async with producer(config) as out:
            for partition in range(4):
                for event in events[partition::4]:
                    await out.send(topic_name(config.kafka, "events"), encode_events([event]), partition=partition)
            await out.send_and_wait(topic_name(config.kafka, "events"), b'[{"type":"nonsense"}]', partition=0)

    run(create_topics(config.kafka))
    run(say())
    start_worker(config_file, "--workers", "2", "--metrics-port", str(ports[0]))
    eventually(lambda: [_scraped(port, "/readyz")[0] for port in ports] == [200, 200])
    found: list[Read] = []

    def complete() -> bool:
        found[:] = [sample for port in ports for sample in _samples(_scraped(port)[1])]
        sums = {"routecast_requests_started_total": 40, "routecast_requests_total": 39, "gen_ai_client_operation_duration_seconds_count": 31}
        counted = all(_sum(found, name) == expected for name, expected in sums.items())
        return counted and {sample.labels["partition"] for sample in found if sample.name == "routecast_events_lag"} == {"0", "1", "2", "3"}

    eventually(complete)
    assert _sum(found, "routecast_leader") == 1
    assert _sum(found, "routecast_events_lag") == 0
    assert _sum(found, "routecast_events_folded_total") >= len(events)  # the first worker had the other's partitions for a moment
    assert _sum(found, "routecast_events_bad_total") >= 1
    assert _sum(found, "routecast_dead_letters_total") >= 1
    assert 0 <= _sum(found, "routecast_snapshot_age_seconds") < 5
    assert _sum(found, "routecast_tick_duration_seconds_count") > 0
    _targets(found)


def _two_in_a_row() -> list[int]:
    while True:
        ports = free_ports(8)
        pairs = [[one, two] for one, two in pairwise(ports) if two == one + 1]
        if pairs:
            return pairs[0]


def _targets(found: list[Read]) -> None:
    """What every target and the strangers together had."""
    for target, service, ended, failed in (("a", "chat", 10, 2), ("b", "chat", 10, 2), ("c", "mail", 10, 2), ("_other", "_other", 9, 2)):
        named = {"target": target, "service": service}
        assert _sum(found, "routecast_requests_started_total", **named) == 10
        assert (_sum(found, "routecast_requests_total", **named), _sum(found, "routecast_requests_total", outcome="error", **named)) == (ended, failed)
        assert _sum(found, "routecast_tokens_total", gen_ai_token_type="input", **named) == 100 * ended
        assert _sum(found, "routecast_cost_usd_total", **named) == pytest.approx(0.25 * ended)
        provider = {} if target == "_other" else {"gen_ai_provider_name": f"p-{target}", "gen_ai_request_model": "m"}
        count, bucket = "gen_ai_client_operation_duration_seconds_count", "gen_ai_client_operation_duration_seconds_bucket"
        assert _sum(found, count, **named, **provider) == ended - failed  # durations are those of successes and time-outs
        assert (_sum(found, bucket, le="0.16", **named), _sum(found, bucket, le="0.32", **named)) == (0, ended - failed)
        assert _sum(found, "gen_ai_client_operation_time_to_first_chunk_seconds_sum", **named) == pytest.approx(0.05 * (ended - failed), rel=0.3)
    assert {sample.labels["target"] for sample in found if sample.name == "routecast_target_state"} == {"a", "b", "c"}


def test_the_page_has_the_table_of_the_registry() -> None:
    """docs/metrics.md says what is told, and every name is in it once."""
    page = (Path(__file__).parent.parent.parent / "docs" / "metrics.md").read_text()
    assert t.table() in page
    names = [family.name for family in t.FAMILIES]
    assert len(names) == len(set(names))
    assert set(names) == {value.name for value in vars(t).values() if isinstance(value, t.Family)}
    assert all(name.startswith(("routecast_", "gen_ai_client_")) for name in names)
