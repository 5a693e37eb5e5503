"""Writing a configuration file, for processes that must have the same configuration as this one."""

from __future__ import annotations

import json
from collections.abc import Mapping

from routecast.models.config import Config


def as_toml(config: Config) -> str:
    """A configuration file that says the same; defaults are left out."""
    table = config.model_dump(exclude_defaults=True)
    parts = [_section(f"[{name}]", values) for name, values in table.items() if name != "target"]
    return "\n".join([_section("[[target]]", target) for target in table["target"]] + parts)


def _section(head: str, values: Mapping[str, object]) -> str:
    return "".join([f"{head}\n", *(f"{json.dumps(key) if not key.isidentifier() else key} = {_value(value)}\n" for key, value in values.items())])


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(str(key))} = {_value(inner)}" for key, inner in value.items() if inner is not None) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
