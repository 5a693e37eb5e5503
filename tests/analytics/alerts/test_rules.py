from __future__ import annotations

import pytest

from routecast.analytics.alerts.rules import rules_of
from routecast.models.config import Config
from routecast.models.severity import SEVERITIES

TARGET = {"id": "a", "provider": "p", "model": "m"}
CONFIG = Config.model_validate(
    {
        "target": [{**TARGET, "service": "chat"}, {**TARGET, "id": "b", "service": "batch"}],
        "routing": {"objective": {"success_ratio": 0.99}},
        "service": {"batch": {"objective": {"success_ratio": 0.9, "within_ms": 60_000}}},
    }
)


def test_burn_rates_are_multiples_of_what_each_service_allows() -> None:
    """14.4 times 1 % for one, half of the way to everything for the other."""
    rules = rules_of(CONFIG)
    shares = {
        name: [rule.share for rule in own if (rule.kind, rule.rule, rule.severity) == ("error_rate", "burn_rate", "critical")] for name, own in rules.items()
    }
    assert shares == {"": [pytest.approx(0.144)], "chat": [pytest.approx(0.144)], "batch": [pytest.approx(0.55)]}


def test_all_services_have_the_same_rules_with_numbers_of_their_own() -> None:
    """Whoever stacks them may go by place."""
    shapes = {tuple((rule.kind, rule.severity, rule.rule, rule.long_ms, rule.short_ms, rule.unit) for rule in own) for own in rules_of(CONFIG).values()}
    assert len(shapes) == 1


def test_a_more_severe_burn_rate_looks_at_shorter_windows_and_asks_for_more() -> None:
    """So that a trickle is found in days and a flood in minutes."""
    burning = [rule for rule in rules_of(CONFIG)["chat"] if rule.rule == "burn_rate" and rule.kind == "error_rate"]
    burning.sort(key=lambda rule: SEVERITIES.index(rule.severity))
    assert len(burning) == 4
    assert sorted(burning, key=lambda rule: -rule.long_ms) == sorted(burning, key=lambda rule: rule.share) == burning


def test_thresholds_are_those_of_the_configuration() -> None:
    """Warning is medium, critical is critical."""
    limits = {(rule.kind, rule.severity): rule.threshold for rule in rules_of(CONFIG)["chat"] if rule.rule == "threshold"}
    assert limits == {
        ("error_rate", "medium"): 0.05, ("error_rate", "critical"): 0.15, ("response_time", "medium"): 3000, ("response_time", "critical"): 10_000,
        ("throughput", "medium"): 10, ("quality", "medium"): 0.7,
    }  # fmt: skip
