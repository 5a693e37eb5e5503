"""The dashboards as they come with the package, and what the configuration changes in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from routecast.models.config import Config


def dashboards() -> dict[str, dict[str, Any]]:
    """By the name of their file."""
    folder = files("routecast.dashboards.grafana") / "json"
    found = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in folder.iterdir() if file.name.endswith(".json")}
    return dict(sorted(found.items()))


def filled_in(dashboard: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """The dashboard with the prefix of the buckets and the objective of this configuration."""
    objective = config.routing.objective
    values = {"prefix": config.influx.bucket_prefix, "allowed": f"{1 - objective.success_ratio:g}", "within_s": repr(objective.within_ms / 1000)}
    variables = [variable | {"query": values[variable["name"]]} if variable["type"] == "constant" else variable for variable in dashboard["templating"]["list"]]
    return {**dashboard, "templating": {"list": variables}}


def text_of(dashboard: Mapping[str, Any]) -> str:
    """As it stands in a file."""
    return json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n"
