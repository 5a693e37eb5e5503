from __future__ import annotations

from routecast.models.config import Config, Kafka
from routecast.streams.doctor.leader import unlike

CONFIG = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})


def test_how_to_reach_the_brokers_is_no_difference_between_configurations() -> None:
    """A fleet that was started with `--kafka` decides as one that has the address in its file; whatever it decides by is named."""
    assert unlike(CONFIG, CONFIG.model_copy(update={"kafka": Kafka(bootstrap="elsewhere:9092", prefix="x.")})) == ""
    other = Config.model_validate(CONFIG.model_dump() | {"routing": {"policy": "random"}, "intervals": {"snapshot_ms": 500}})
    assert unlike(CONFIG, other) == "they differ in intervals.snapshot_ms, routing.policy"
    assert unlike(CONFIG, None) == "cannot be compared here"
