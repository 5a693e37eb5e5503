from __future__ import annotations

import subprocess
import sys
from typing import Any

from grafana_foundation_sdk.models import units

from routecast.dashboards.grafana.boards.__main__ import FOLDER, files
from routecast.dashboards.grafana.linting import UNITS, lint, panels, shipped_texts
from routecast.dashboards.grafana.shipped import dashboards, filled_in
from routecast.models.config import Config

CONFIG = Config.model_validate({
    "target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}],
    "routing": {"objective": {"success_ratio": 0.99, "within_ms": 4000}},
    "influx": {"bucket_prefix": "other-"},
})  # fmt: skip


def test_what_is_shipped_is_what_the_generator_makes() -> None:
    """`make dashboards` writes it anew."""
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == files()


def test_there_are_seven_dashboards_with_stable_names() -> None:
    """Bookmarks and alert rules name them."""
    names = ("alerts", "capacity", "overview", "pipeline", "replay", "routing", "target")
    assert {file: board["uid"] for file, board in dashboards().items()} == {f"routecast-{name}.json": f"routecast-{name}" for name in names}
    assert {(board["schemaVersion"], board["editable"]) for board in dashboards().values()} == {(39, False)}


def test_panels_are_where_nothing_else_is() -> None:
    """No two of them overlap, none sticks out, and each has a number of its own."""
    for board in dashboards().values():
        taken: set[tuple[int, int]] = set()
        for place in (panel["gridPos"] for panel in board["panels"]):
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            assert not cells & taken, board["uid"]
            assert place["x"] + place["w"] <= 24, board["uid"]
            taken |= cells
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_units_are_grafanas() -> None:
    """A unit that Grafana does not know is shown as a word behind the figure."""
    known = {value for name, value in vars(units).items() if not name.startswith("_")} | {"short"}
    assert known >= UNITS
    used = {p["value"] for board in dashboards().values() for panel in panels(board) for o in panel["fieldConfig"]["overrides"] for p in o["properties"]
            if p["id"] == "unit"}  # fmt: skip
    assert used <= UNITS


def test_what_is_shipped_has_no_flaws() -> None:
    """Dashboards, and the rules of a configuration."""
    found = lint(shipped_texts(CONFIG))
    assert (found.files, found.flaws) == (8, ())
    assert found.queries > 130


def test_links_lead_to_dashboards_that_are_there() -> None:
    """And to variables that the other side has."""
    boards = {board["uid"]: board for board in dashboards().values()}
    links = {link["url"] for board in boards.values() for link in _links(board)}
    assert links
    for url in links:
        uid, asked = url.removeprefix("/d/").split("?")
        variables = {variable["name"] for variable in boards[uid]["templating"]["list"]}
        named = {part.removeprefix("var-").split("=")[0] for part in asked.split("&") if part.startswith("var-")}
        named |= {part.removeprefix("${").split(":")[0] for part in asked.split("&") if "queryparam" in part}
        assert named <= variables


def _links(value: Any) -> list[dict[str, Any]]:
    """Every object with an address, however deep."""
    if isinstance(value, dict):
        own = [value] if str(value.get("url", "")).startswith("/d/") else []
        return [*own, *(link for inner in value.values() for link in _links(inner))]
    return [link for inner in value for link in _links(inner)] if isinstance(value, list) else []


def test_the_configuration_is_filled_in() -> None:
    """Prefix and objective, and nothing else changes."""
    board = dashboards()["routecast-overview.json"]
    filled = filled_in(board, CONFIG)
    constants = {variable["name"]: variable["query"] for variable in filled["templating"]["list"] if variable["type"] == "constant"}
    assert constants == {"prefix": "other-", "allowed": "0.01", "within_s": "4.0"}
    assert filled["panels"] == board["panels"]


def test_the_product_does_not_need_the_generator() -> None:
    """Nor what it is made with: that is for development."""
    program = (
        "import sys; sys.modules['grafana_foundation_sdk'] = None; from routecast.dashboards.grafana import export, linting; print(len(linting.dashboards()))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "7\n"
