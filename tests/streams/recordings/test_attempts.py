from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from routecast.analytics.capacity.attempts import AttemptLog
from routecast.models.config import Config
from routecast.models.errors import CheckFailed, ConfigError
from routecast.models.events import Completed, Event, Started, encode_events
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import client_options, topic_name
from routecast.streams.memory import Record
from routecast.streams.recordings.attempts import read_log, read_recording, recorded_config, service_of
from routecast.streams.recordings.recording import Recording, RecordingWriter

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def ended(number: int, service: str = "chat") -> list[Event]:
    """Start and end of a request."""
    common: dict[str, Any] = {"request_id": f"r{number}", "target": "a", "service": service}
    return [Started(at_ms=1000.0, **common), Completed(at_ms=1000.0 + number, started_at_ms=1000.0, duration_ms=number, outcome="ok", **common)]


def quiet(_events: int, _at_ms: float) -> None:
    """Nobody wants to know."""


def test_a_recording_tells_its_attempts(tmp_path: Path) -> None:
    """Of all partitions; what cannot be read is passed over, progress is told."""
    with RecordingWriter(tmp_path / "a.rec", "routecast.") as out:
        for partition in range(2):
            out.add("events", partition, Record(0, 1000.0, b"", encode_events(ended(1 + partition))))
        out.add("events", 0, Record(1, 2000.0, b"", b"not json"))
        out.add("events", 0, Record(2, 3000.0, b"", encode_events(ended(3, "mail"))))
    log, told = AttemptLog(), list[tuple[int, float]]()
    with Recording(tmp_path / "a.rec") as recording:
        assert read_recording(recording, log, lambda events, at_ms: told.append((events, at_ms))) == 6
        assert recorded_config(recording) is None
    assert log.services == {"chat", "mail"}
    assert sorted(log.attempts("chat").duration_ms.tolist()) == [1.0, 2.0]
    assert told[-1] == (6, 1000.0)


def test_the_newest_configuration_of_a_recording_counts(tmp_path: Path) -> None:
    """Unless this version cannot read it."""

    def written(name: str, *values: bytes) -> Config | None:
        with RecordingWriter(tmp_path / name, "routecast.") as out:
            for offset, value in enumerate(values):
                out.add("state", 0, Record(offset, 1000.0, b"config/v", value))
            out.add("state", 0, Record(9, 1000.0, b"checkpoint", b"x"))
        with Recording(tmp_path / name) as recording:
            return recorded_config(recording)

    configs = [Config.model_validate({"target": [{"id": name, "provider": "p", "model": "m", "service": "chat"}]}) for name in "ab"]
    first, second = (config.model_dump_json().encode() for config in configs)
    assert written("a.rec", first, second) == configs[1]
    assert written("b.rec", first, b"{}") is None


def test_the_last_minutes_of_a_log_tell_theirs(config: Config, run: Run) -> None:
    """What was appended since then, on whatever partition."""

    async def told() -> tuple[AttemptLog, int, AttemptLog]:
        await create_topics(config.kafka)
        topic = topic_name(config.kafka, "events")
        async with AIOKafkaProducer(**client_options(config.kafka)) as client:
            sent = [await client.send_and_wait(topic, encode_events(ended(number)), partition=number % 4) for number in range(8)]
        everything, nothing = AttemptLog(), AttemptLog()
        events = await read_log(config.kafka, everything, sent[-1].timestamp - 60_000, quiet)
        await read_log(config.kafka, nothing, sent[-1].timestamp + 60_000, quiet)
        return everything, events, nothing

    everything, events, nothing = run(told())
    assert events == 16
    assert sorted(everything.attempts("chat").duration_ms.tolist()) == list(range(8))
    assert len(nothing) == 0


def test_a_log_without_events_is_said_to_be_none(config: Config, run: Run) -> None:
    """No topic: what to check."""
    with pytest.raises(CheckFailed, match="there is no topic"):
        run(read_log(config.kafka, AttemptLog(), 0.0, quiet))


def test_the_service_is_the_one_asked_for_or_the_only_one() -> None:
    """Otherwise the error names those there are."""
    config = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})
    assert service_of(None, config, frozenset()) == "chat"
    assert service_of("mail", config, frozenset({"mail"})) == "mail"
    with pytest.raises(ConfigError, match="there is no service 'male': choose among 'chat', 'mail'"):
        service_of("male", config, frozenset({"mail"}))
    with pytest.raises(ConfigError, match="which service\\? There are 'chat', 'mail'"):
        service_of(None, config, frozenset({"mail"}))
    with pytest.raises(ConfigError, match="no event names a service"):
        service_of(None, None, frozenset())
