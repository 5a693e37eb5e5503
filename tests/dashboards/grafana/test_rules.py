from __future__ import annotations

import re
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from routecast.analytics.alerts.rules import KINDS
from routecast.analytics.insights.standing import UNHEARD_MS
from routecast.dashboards.grafana.provisioning import VARIABLES, files
from routecast.dashboards.grafana.rules import rule_groups
from routecast.dashboards.grafana.shipped import dashboards
from routecast.dashboards.grafana.yaml_text import yaml_text
from routecast.models.config import Config
from routecast.models.severity import SEVERITIES

TARGETS = [{"id": name, "provider": "p", "model": "m", "service": service} for name, service in (("a", "chat"), ("b", "mail"))]


def _config(**more: Any) -> Config:
    return Config.model_validate({"target": TARGETS} | more)


def _rules(config: Config) -> dict[str, dict[str, Any]]:
    return {rule["uid"]: rule for group in rule_groups(config) for rule in group["rules"]}


def test_there_is_a_rule_for_every_kind_and_severity_and_two_for_the_pipeline() -> None:
    """Labels say which; whoever is told finds the page of the runbook."""
    rules = _rules(_config())
    assert len(rules) == 18
    assert {(rule["labels"]["kind"], rule["labels"]["severity"]) for rule in rules.values()} == {
        *((kind, severity) for kind in KINDS for severity in SEVERITIES), ("pipeline", "critical"), ("pipeline", "high"),
    }  # fmt: skip
    assert all({"summary", "description", "runbook"} == rule["annotations"].keys() for rule in rules.values())


def test_limits_that_are_told_are_those_of_the_stream() -> None:
    """From the same rules: another objective or threshold is another number in the description."""

    def told(config: Config, name: str) -> str:
        return str(_rules(config)[f"routecast-{name}"]["annotations"]["description"])

    assert "more than 15 % of attempts failed in 5 min and in 1 min or more than 7.2 %" in told(_config(), "error-rate-critical")
    assert "more than 20 s on average" in told(_config(thresholds={"response_time_ms": {"warning": 20_000, "critical": 60_000}}), "response-time-medium")
    other = _config(thresholds={"error_ratio": {"warning": 0.1, "critical": 0.3}}, routing={"objective": {"success_ratio": 0.98}})
    assert "more than 30 % of attempts failed in 5 min and in 1 min or more than 28.8 %" in told(other, "error-rate-critical")
    own = _config(service={"mail": {"objective": {"success_ratio": 0.9, "within_ms": 2560}}})
    assert "limits of their own" in told(own, "error-rate-critical")
    assert "limits of their own" not in told(_config(), "error-rate-critical")


def test_rules_hold_as_soon_and_as_long_as_the_stream_says() -> None:
    """They wait for nothing and hold on to nothing; they look as often as the stream does, and as far back as the list of alerts does."""
    for group in rule_groups(_config()):
        assert group["interval"] == "10s"
    alerts = [rule for rule in _rules(_config()).values() if rule["labels"]["kind"] != "pipeline"]
    assert {rule["for"] for rule in alerts} == {"0s"}
    assert {rule["data"][0]["relativeTimeRange"]["from"] for rule in alerts} == {UNHEARD_MS // 1000}


def test_rules_name_buckets_and_times_themselves() -> None:
    """Grafana's rules know neither variables nor the range of a panel."""
    for rule in _rules(_config(influx={"bucket_prefix": "other-"})).values():
        query = rule["data"][0]["model"]["query"]
        assert not re.search(r"\$|\bv\.", query)
        assert set(re.findall(r'from\(bucket: "([^"]*)"', query)) <= {"other-7d", "other-30d", "other-90d", "other-2y"}


def test_rules_lead_to_panels_that_are_there() -> None:
    """Of the dashboard that shows what they are about."""
    boards = {board["uid"]: {panel["id"] for panel in board["panels"] if panel["type"] != "row"} for board in dashboards().values()}
    assert all(rule["panelId"] in boards[rule["dashboardUid"]] for rule in _rules(_config()).values())


def test_provisioning_is_yaml_that_says_what_was_meant() -> None:
    """The secret and the addresses come from the environment; labels escape their dollars, annotations do not."""
    found = {name: yaml.safe_load(text) for name, text in files(_config()).items()}
    assert found["alerting/routecast.yaml"] == {"apiVersion": 1, "groups": rule_groups(_config())}
    (source,) = found["datasources/routecast.yaml"]["datasources"]
    assert (source["url"], source["secureJsonData"]) == ("${INFLUX_URL}", {"token": "${INFLUX_READ_TOKEN}"})
    assert all(f"${{{name}}}" in files(_config())["datasources/routecast.yaml"] for name in VARIABLES)
    (provider,) = found["dashboards/routecast.yaml"]["providers"]
    assert provider["options"]["path"] == "/etc/grafana/routecast"
    for rule in _rules(_config()).values():
        assert not [text for text in rule["labels"].values() if re.search(r"(?<!\$)\$labels", text)]
        assert not [text for text in rule["annotations"].values() if "$$" in text or "${" in text]


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1000, 1000)
    | st.floats(0.001, 1000)
    | st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.from_regex(r"k[a-z]{1,8}", fullmatch=True), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=40)
@given(value=st.dictionaries(st.from_regex(r"k[a-z]{1,8}", fullmatch=True), PLAIN, max_size=5))
def test_yaml_reads_what_was_written(value: dict[str, Any]) -> None:
    """Whatever plain data it is; keys are words of ours."""
    assert (yaml.safe_load(yaml_text(value)) or {}) == value
