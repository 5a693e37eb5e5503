from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from routecast.dashboards.grafana.flux_rules import flux_flaws
from routecast.dashboards.grafana.linting import lint, panels, shipped_texts, texts_in
from routecast.dashboards.grafana.shipped import dashboards
from routecast.models.config import Config
from routecast.models.errors import ConfigError

CONFIG = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})
WINDOWS = 'from(bucket: "x") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "provider_window" and r._field == "requests" and r.target == "a")'


def _panel(board: dict[str, Any]) -> dict[str, Any]:
    return next(panel for panel in panels(board) if panel["type"] == "timeseries")


def _ask(query: str) -> Callable[[dict[str, Any]], None]:
    return lambda board: _panel(board)["targets"][0].update(query=query)


def _variable(board: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(variable for variable in board["templating"]["list"] if variable["type"] == kind)
    return found


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "uid": lambda board: board.update(uid=""),
    "editable": lambda board: board.update(editable=True),
    "data source": lambda board: board["templating"]["list"].remove(_variable(board, "datasource")),
    "reload": lambda board: _variable(board, "query").update(refresh=1),
    "title": lambda board: _panel(board).update(title=""),
    "description": lambda board: _panel(board).pop("description"),
    "unit": lambda board: _panel(board)["fieldConfig"]["defaults"].update(unit="furlongs"),
    "query": lambda board: _panel(board).update(targets=[]),
    "link": lambda board: board["links"][0].update(keepTime=False),
    "variable": _ask(f'{WINDOWS} |> filter(fn: (r) => r.region == "${{nowhere}}")'),
    "measurement": _ask(WINDOWS.replace("provider_window", "provider_windows")),
    "field": _ask(WINDOWS.replace("requests", "request")),
    "tag": _ask(WINDOWS.replace("r.target", "r.tgt")),
    "grouping by time": _ask(f'{WINDOWS} |> group(columns: ["target", "_time"]) |> sum()'),
    "late selector": _ask(f'{WINDOWS} |> group(columns: ["target"]) |> aggregateWindow(every: 1m, fn: max)'),
    "pivot at the end": _ask(f'{WINDOWS} |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value") |> group()'),
    "pivot after group": _ask(
        WINDOWS.replace('r._field == "requests"', '(r._field == "requests" or r._field == "rpm")')
        + '|> group() |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value") |> map(fn: (r) => ({_value: r.rpm}))'
    ),
    "two windows": _ask(f"{WINDOWS} |> aggregateWindow(every: 1m, fn: mean) |> aggregateWindow(every: 1h, fn: mean)"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_rule_finds_what_breaks_it_and_nothing_else(rule: str) -> None:
    """With a sentence and what to do."""
    texts = shipped_texts(None)
    board = dashboards()["routecast-capacity.json"]
    BROKEN[rule](board)
    found = lint(texts | {"dashboards/routecast-capacity.json": json.dumps(board)})
    assert {flaw.rule for flaw in found.flaws} == {rule}
    assert all(flaw.file == "dashboards/routecast-capacity.json" and flaw.what and flaw.mend for flaw in found.flaws)


def test_a_link_to_a_dashboard_that_is_not_there_is_found() -> None:
    """Wherever it stands in a panel."""
    board = dashboards()["routecast-capacity.json"]
    text = json.dumps(board).replace("/d/routecast-target", "/d/routecast-targets")
    assert {flaw.rule for flaw in lint({"a.json": text}).flaws} == {"link"}


def test_a_panel_that_is_bound_to_one_data_source_is_found() -> None:
    """It would not follow the variable."""
    board = dashboards()["routecast-capacity.json"]
    _panel(board)["datasource"] = {"type": "influxdb", "uid": "abc"}
    texts = shipped_texts(None) | {"dashboards/routecast-capacity.json": json.dumps(board)}
    assert [(flaw.rule, flaw.where) for flaw in lint(texts).flaws] == [("data source", _panel(board)["title"])]


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ('from(bucket: "routecast_7d")', "from(bucket: v.defaultBucket)", "variable"),
        ('r._measurement == "alert"', 'r._measurement == "alerts"', "measurement"),
        ("{{ if eq $$labels.target", "{{ if eq $labels.target", "label"),
    ],
)
def test_flaws_of_alert_rules_are_found(before: str, after: str, rule: str) -> None:
    """In the file as it would be mounted, with the rule that has it."""
    texts = shipped_texts(CONFIG)
    (name,) = [name for name in texts if name.startswith("alerting")]
    assert before in texts[name]
    found = lint({name: texts[name].replace(before, after)}).flaws
    assert rule in {flaw.rule for flaw in found}
    assert all(flaw.where.startswith(("routecast-", "subject:")) for flaw in found)


def test_selectors_before_groups_are_right() -> None:
    """Storage answers them."""
    assert list(flux_flaws(f'{WINDOWS} |> last() |> group(columns: ["target"]) |> top(n: 1)', series=False)) == []
    assert list(flux_flaws(f'{WINDOWS} |> aggregateWindow(every: 1m, fn: last) |> group(columns: ["target"])', series=True)) == []


def test_a_folder_without_anything_is_told(tmp_path: Path) -> None:
    """With what writes it."""
    with pytest.raises(ConfigError, match="holds neither dashboards"):
        texts_in(tmp_path)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ConfigError, match=r"'a\.json' is no JSON"):
        lint(texts_in(tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[1, 2]", "is JSON, but no dashboard"),
        (b'{"name": "package"}', "is JSON, but no dashboard"),
        (b'{"panels": [3]}', "of a shape that Grafana does not write"),
        (b'{"panels": [], "templating": {"list": [{"name": "x"}]}}', "of a shape that Grafana does not write"),
        (b"\xff\xfe{", "is not UTF-8 text"),
    ],
)
def test_what_is_no_dashboard_is_told(tmp_path: Path, text: bytes, said: str) -> None:
    """By its name and with what to do, whatever it is instead."""
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ConfigError, match=rf"a\.json' .*{said}.*(anew|elsewhere)"):
        lint(texts_in(tmp_path))


def test_panels_of_a_closed_row_are_looked_at() -> None:
    """Grafana keeps them within the row."""
    board = next(iter(dashboards().values()))
    flawed = {**_panel(board), "title": ""}
    closed = {**board, "panels": [{"type": "row", "title": "more", "panels": [flawed]}]}
    assert [flaw.rule for flaw in lint({"a.json": json.dumps(closed)}).flaws if flaw.rule == "title"] == ["title"]
