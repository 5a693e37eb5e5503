"""Writes the dashboards: `make dashboards`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from routecast.dashboards.grafana.boards.alerting import alerting
from routecast.dashboards.grafana.boards.capacity import capacity
from routecast.dashboards.grafana.boards.overview import overview
from routecast.dashboards.grafana.boards.pipeline import pipeline
from routecast.dashboards.grafana.boards.replay import replay
from routecast.dashboards.grafana.boards.routing import routing
from routecast.dashboards.grafana.boards.target import target

FOLDER: Final = Path(__file__).parent.parent / "json"


def files() -> dict[str, str]:
    """The text of each file, by its name."""
    made = (overview(), target(), routing(), capacity(), alerting(), pipeline(), replay())
    return {f"{board['uid']}.json": _text(board) for board in made}


def _text(board: dict[str, Any]) -> str:
    return json.dumps(board, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
