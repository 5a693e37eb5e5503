"""The keys of the configuration as people see them: what each means, may be, is, and where its value came from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from routecast.models.config import Config, Routing
from routecast.streams.configuration import DEFAULT_FILE, Loaded, load, model_of


class Value(BaseModel):
    """A value in force and where it came from."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    key: str
    value: str
    origin: str


class Checked(BaseModel):
    """A configuration that is right."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    file: str
    version: str
    services: tuple[str, ...]
    targets: tuple[str, ...]


class Values(BaseModel):
    """All values in force."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    version: str
    values: tuple[Value, ...]


class Key(BaseModel):
    """What a key is."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    key: str
    meaning: str
    type: str
    allowed: str
    default: str
    values: tuple[Value, ...] = ()


def keys() -> list[Key]:
    """Every key of the configuration, in the order of the file."""
    return list(_keys(Config, ""))


def reference_tables() -> str:
    """Markdown: a heading and a table for each section of the file."""
    sections: dict[str, list[Key]] = {}
    for item in keys():
        section = item.key.split(".")[0]
        sections.setdefault(section, []).append(item)
    parts: list[str] = []
    for section, items in sections.items():
        title = {"target": "[[target]]", "service": "[service.NAME]"}.get(section, f"[{section}]")
        rows = [f"| `{item.key}` | {item.type} | {item.default} | {item.allowed} | {item.meaning} |" for item in items]
        parts.append("\n".join([f"## `{title}`", "", "| key | type | default | allowed | meaning |", "|---|---|---|---|---|", *rows]))
    return "\n\n".join(parts)


def _keys(model: type[BaseModel], prefix: str) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        inner = model_of(field.annotation)
        if key == "service":
            yield from _keys(Routing, "service.NAME.")
        elif inner is not None:
            yield from _keys(inner, f"{key}.")
        else:
            yield Key(key=key, meaning=field.description or "", type=_type(field), allowed=_allowed(model, name), default=_default(field))


def _type(field: FieldInfo) -> str:
    annotation = str(field.annotation)
    if get_origin(field.annotation) is Literal or annotation.startswith("typing.Literal"):
        return "string"
    for python, toml in (("int", "integer"), ("float", "number"), ("bool", "boolean")):
        if python in annotation:
            return toml
    return "string"


def _allowed(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if get_origin(field.annotation) is Literal:
        return ", ".join(get_args(field.annotation))
    schema = model.model_json_schema()["properties"][name]
    parts = [schema, *schema.get("anyOf", ())]
    signs = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    bounds = [f"{sign} {part[word]:g}" for part in parts for word, sign in signs if word in part]
    return ", ".join(bounds) or "any"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    return "absent" if field.default is None else _text(field.default)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def values_of(loaded: Loaded) -> Iterator[Value]:
    """Every value in force and where it came from."""
    yield from _flat(loaded.config.model_dump(exclude={"service"}), "", loaded)
    for service in loaded.config.service:
        yield from _flat(loaded.config.routing_for(service).model_dump(), f"service.{service}", loaded)


def _flat(value: object, key: str, loaded: Loaded) -> Iterator[Value]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name), loaded)
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from _flat(inner, f"{key}[{i}]", loaded)
    else:
        origin = loaded.origins.get(key, "[routing]" if key.startswith("service.") else "default")
        yield Value(key=key, value="absent" if value is None else _text(value), origin=origin)


def general(key: str) -> str:
    """`target[2].quality` → `target.quality`, `service.chat.policy` → `service.NAME.policy`."""
    parts = [part.split("[")[0] for part in key.split(".")]
    if parts[0] == "service" and len(parts) > 2:
        parts[1] = "NAME"
    return ".".join(parts)


def current(name: str, config: Path | None) -> tuple[Value, ...]:
    """What a key is now; nothing where there is no configuration to look into."""
    if config is None and not DEFAULT_FILE.exists():
        return ()
    return tuple(value for value in values_of(load(config, os.environ)) if general(value.key) == name)
