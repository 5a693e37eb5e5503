from __future__ import annotations

import pytest
from pydantic import ValidationError

from routecast.models.config import Config, TargetConfig


def _target(name: str, service: str = "chat", **more: object) -> dict[str, object]:
    return {"id": name, "provider": "p", "model": "m", "service": service, **more}


def test_overrides_of_a_service_are_merged_key_by_key() -> None:
    """One weight of one service changes, the other weights and services stay."""
    config = Config.model_validate({"target": [_target("a"), _target("b", "mail")], "service": {"mail": {"score_weights": {"quality": 1.0}}}})
    assert config.routing_for("mail").score_weights.quality == 1.0
    assert config.routing_for("mail").score_weights.response_time == config.routing.score_weights.response_time
    assert config.routing_for("chat") == config.routing


def test_targets_of_a_service_keep_the_order_of_the_file() -> None:
    """Order is what bit masks and ties refer to."""
    config = Config.model_validate({"target": [_target("b"), _target("x", "mail"), _target("a")]})
    assert [target.id for target in config.targets_of("chat")] == ["b", "a"]
    assert config.targets_of("none") == ()
    assert config.services == {"chat", "mail"}


def test_the_version_differs_when_anything_does() -> None:
    """Ticks name the configuration they were made with."""
    one, same, other = (Config.model_validate({"target": [_target("a", weight=w)]}) for w in (1.0, 1.0, 2.0))
    assert one.version == same.version
    assert one.version != other.version


def test_a_wrong_override_is_refused() -> None:
    """Overrides are checked when the file is read, not when a service is first used."""
    with pytest.raises(ValidationError, match="failover_threshold"):
        Config.model_validate({"target": [_target("a")], "service": {"chat": {"failover_threshold": 2}}})


def test_a_configuration_without_targets_is_refused() -> None:
    """There would be nothing to choose."""
    with pytest.raises(ValidationError, match="at least 1"):
        Config.model_validate({"target": []})


def test_unknown_quality_has_a_prior() -> None:
    """0.8 until feedback arrives, unless configured."""
    assert TargetConfig.model_validate(_target("a")).quality_prior == 0.8
    assert TargetConfig.model_validate(_target("a", quality=0.5)).quality_prior == 0.5
