from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from grafana_queries import Query, Row, queries
from stored_fleet import FAILING, LASTING

from routecast.dashboards.points.scores import CODES

TARGETS = [f"target-{i:02}" for i in range(20)]
ALL: Mapping[str, str | list[str]] = {
    "service": "_all", "provider": [f"provider-{i}" for i in range(4)], "model": [f"model-{i}" for i in range(3)], "region": ["region-0", "region-1"],
    "target": TARGETS, "window": "auto", "run": ["run-1", "run-2"],
}  # fmt: skip
FILES = ("alerts", "capacity", "overview", "pipeline", "replay", "routing", "target")
SUBJECTS: Mapping[str, tuple[set[str], ...]] = {
    "target": (set(TARGETS),), "service": ({"chat", "mail"}, {"_all"}), "run": ({"run-1", "run-2"},), "outcome": ({"ok", "error"},), "reason": ({"probe"},),
    "policy": ({"performance"},), "instance": ({"host-1"}, {"host-1-1"}),
    "series": ({"arrives", "fits", "fits, at least", "fits, at most"}, {"median", "99th percentile"}),
}  # fmt: skip
"""By label of a series, whom there must be a line of."""


def _chosen(query: Query, **more: str | list[str]) -> dict[str, str | list[str]]:
    one = {"target": [FAILING]} if query.file == "routecast-target" else {}
    return {**ALL, **one, **more}


def _of(stored: Any, file: str) -> list[Query]:
    return [query for query in queries(stored.config) if query.file in {f"routecast-{file}", f"routecast {file}"}]


@pytest.mark.parametrize("file", FILES)
def test_every_query_of_a_dashboard_answers_with_rows(fleet_stored: Any, file: str) -> None:
    """Panels, variables and marks on a real server; series have a time, a value and one label, and as many of them as there are subjects."""
    for query in _of(fleet_stored, file):
        rows = fleet_stored.ask(query, _chosen(query))
        assert rows, query.name
        assert all(row.get("error", "") == "" for row in rows), query.name
        if query.kind in {"timeseries", "state-timeline"}:
            (label,) = {name for name in rows[0] if name not in {"", "result", "table", "_time", "_value"}}
            assert all(row["_time"] and row["_value"] for row in rows), query.name
            if file not in {"alerts", "target"}:
                assert {row[label] for row in rows} in (*SUBJECTS[label], {"objective"}), query.name


@pytest.mark.parametrize("file", ["overview", "routing", "capacity", "target", "alerts", "replay"])
def test_a_service_can_be_chosen(fleet_stored: Any, file: str) -> None:
    """Then its ten targets are what variables offer, and totals are its own."""
    for query in _of(fleet_stored, file):
        if query.kind == "variable" and query.where == "target":
            offered = [row["_value"] for row in fleet_stored.ask(query, _chosen(query, service="mail"))]
            assert offered == TARGETS[1::2], query.name
        elif query.kind != "annotation":
            assert fleet_stored.ask(query, _chosen(query, service="mail")), query.name


@pytest.mark.parametrize("window", ["10s", "1m"])
def test_the_length_of_windows_can_be_chosen(fleet_stored: Any, window: str) -> None:
    """The requests of the hour are the same."""
    (query,) = [query for query in _of(fleet_stored, "overview") if query.where == "Who is how" and "rate_limited" in query.text]
    rows = {row["target"]: row for row in fleet_stored.ask(query, _chosen(query, window=window))}
    assert sorted(rows) == TARGETS
    assert float(rows[FAILING]["failed"]) == pytest.approx(0.4)
    assert {row["failed"] for name, row in rows.items() if name != FAILING} == {"0"}
    per_window = {"10s": 31, "1m": 186}[window]
    assert abs(int(rows["target-00"]["requests"]) - 360 * 31) <= per_window


def _one(stored: Any, file: str, where: str, kind: str = "") -> list[Row]:
    (query,) = [query for query in _of(stored, file) if query.where == where and kind in query.kind]
    return list(stored.ask(query, _chosen(query)))


def test_figures_are_those_that_were_stored(fleet_stored: Any) -> None:
    """Counts exactly, ratios to what they are of."""
    (trouble,) = _one(fleet_stored, "overview", "Targets in trouble")
    assert trouble["_value"] == "1"
    (alerts,) = _one(fleet_stored, "overview", "Alerts", "stat")
    assert alerts["_value"] == "4"
    (success,) = _one(fleet_stored, "overview", "Success")
    assert float(success["_value"]) == pytest.approx(1 - 20 / 620, abs=1e-9)
    states = Counter(row["_value"] for row in _one(fleet_stored, "overview", "States", "timeline") if row["target"] == FAILING)
    assert set(states) == {str(CODES["ok"]), str(CODES["open"])}
    (failed,) = _one(fleet_stored, "target", "Failed")
    assert float(failed["_value"]) == pytest.approx(0.4)
    kinds = {row["series"] for row in _one(fleet_stored, "target", "Failures by kind")}
    assert kinds == {"errors", "time-outs", "refused (429)", "given up by callers"}
    burns = {float(row["_value"]) for row in _one(fleet_stored, "overview", "Budget burn") if row["target"] == FAILING}
    assert [round(burn, 6) for burn in burns] == [80.0]
    lasting = [row for row in _one(fleet_stored, "alerts", "What lasts") if row["severity"] == "critical"]
    assert [(row["target"], row["title"]) for row in lasting] == [(FAILING, f"{FAILING} fails")]


def test_the_heat_map_has_a_row_for_every_bound(fleet_stored: Any) -> None:
    """In their order, by their bounds in seconds, the last without one."""
    rows = _one(fleet_stored, "target", "Distribution")
    columns = [name for name in rows[0] if name not in {"", "result", "table", "_time"}]
    assert columns == ["0.01", "0.02", "0.04", "0.08", "0.16", "0.32", "0.64", "1.28", "2.56", "5.12", "10.24", "20.48", "40.96", "81.92", "longer"]


def test_marks_have_a_beginning_an_end_and_words(fleet_stored: Any) -> None:
    """An alert that is over is a stretch of time."""
    rows = _one(fleet_stored, "overview", "Alerts", "annotation")
    over = [row for row in rows if "target-07" in row["title"]]
    assert [int(row["timeEnd"]) for row in over] == [fleet_stored.end_ms - 600_000]
    assert {row["tags"] for row in rows} == {"critical", "high", "medium", "low"}


def test_every_rule_answers_for_whom_it_is_about(fleet_stored: Any) -> None:
    """Eighteen of them; the rule of the severity that an alert has holds of its subject, and no other does."""
    rules = [query for query in queries(fleet_stored.config) if query.kind == "rule"]
    assert len(rules) == 18
    firing: dict[str, set[str]] = {}
    for query in rules:
        rows = fleet_stored.ask(query, {})
        assert rows, query.name
        firing[query.where] = {row["target"] if row["target"] != "_all" else row["service"] for row in rows if "target" in row and float(row["_value"]) > 0}
    expected = {f"routecast-{kind.replace('_', '-')}-{severity}": {subject} for subject, (kind, severity) in LASTING.items()}
    assert {rule: found for rule, found in firing.items() if found} == expected
