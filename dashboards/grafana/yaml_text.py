"""YAML for people to read, of plain data: what Grafana's provisioning takes, without a library that only this would need."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def yaml_text(value: Mapping[str, Any]) -> str:
    """The document. Texts of several lines are blocks, all others stand in quotes, as in JSON."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for key, item in value.items():
        found += _entry(f"{key}:", item)
    return found


def _entry(head: str, item: Any) -> list[str]:
    if isinstance(item, Mapping) and item:
        return [head, *_deeper(_lines(item))]
    if isinstance(item, Sequence) and not isinstance(item, str) and item:
        return [head, *_deeper([line for one in item for line in _listed(one)])]
    if isinstance(item, str) and "\n" in item:
        return [f"{head} |-", *_deeper(item.split("\n"))]
    return [f"{head} {json.dumps(item, ensure_ascii=False)}"]


def _listed(item: Any) -> list[str]:
    """An entry of a list, its dash in the first line."""
    lines = _lines(item) if isinstance(item, Mapping) and item else [json.dumps(item, ensure_ascii=False)]
    return [f"- {lines[0]}", *_deeper(lines[1:])]


def _deeper(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" if line else "" for line in lines]
