"""`routecast config`: check, show and explain the configuration."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args, get_origin

import typer
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from routecast.cli.render import complain, form, show, show_json, show_rows
from routecast.models.config import Config, Routing
from routecast.streams.configuration import Loaded, load, model_of

USAGE = 2

app = typer.Typer(no_args_is_help=True, help="Check, show and explain the configuration.")
File = Annotated[Path | None, typer.Option("--config", help="The file; ./routecast.toml by default.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Plain = Annotated[bool, typer.Option("--plain", help="Print text with tabs.")]


class Value(BaseModel):
    """A value in force and where it came from."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    key: str
    value: str
    origin: str


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


@app.command()
def check(config: File = None) -> None:
    """Say whether the configuration is right; exit code 3 with every error where it is not."""
    loaded = load(config, os.environ)
    services = sorted(loaded.config.services)
    show(f"ok: {len(loaded.config.target)} targets in {len(services)} services ({', '.join(services)}), version {loaded.config.version}")


@app.command("show")
def show_values(*, config: File = None, json: Json = False, plain: Plain = False) -> None:
    """Show every value in force and where it came from."""
    loaded = load(config, os.environ)
    values = Values(version=loaded.config.version, values=tuple(_values(loaded)))
    if json:
        show_json(values)
    else:
        show_rows(("key", "value", "from"), [(v.key, v.value, v.origin) for v in values.values], form(json=json, plain=plain))


@app.command()
def explain(key: str, *, config: File = None, json: Json = False, plain: Plain = False) -> None:
    """Explain a key: meaning, type, allowed values, default, and what it is now."""
    known = {item.key: item for item in keys()}
    name = _general(key)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        complain(f"no key {key!r}; " + (f"did you mean {', '.join(near)}?" if near else "`routecast config show` lists them"))
        raise typer.Exit(USAGE)
    found = known[name].model_copy(update={"values": _current(name, config)})
    if json:
        show_json(found)
        return
    rows = [("key", found.key), ("meaning", found.meaning), ("type", found.type), ("allowed", found.allowed), ("default", found.default)]
    rows += [("now", f"{v.key} = {v.value} ({v.origin})") for v in found.values]
    show_rows(("", ""), rows, form(json=json, plain=plain))


def keys() -> list[Key]:
    """Every key of the configuration, in the order of the file."""
    return list(_keys(Config, ""))


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


def _values(loaded: Loaded) -> Iterator[Value]:
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


def _general(key: str) -> str:
    """`target[2].quality` → `target.quality`, `service.chat.policy` → `service.NAME.policy`."""
    parts = [part.split("[")[0] for part in key.split(".")]
    if parts[0] == "service" and len(parts) > 2:  # noqa: PLR2004 - service.NAME.key
        parts[1] = "NAME"
    return ".".join(parts)


def _current(name: str, config: Path | None) -> tuple[Value, ...]:
    if config is None and not Path("routecast.toml").exists():
        return ()
    return tuple(value for value in _values(load(config, os.environ)) if _general(value.key) == name)
