"""Reading the configuration: one TOML file, environment variables on top, errors that say what to do."""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from routecast.models.config import Config, Routing
from routecast.models.errors import ConfigError

DEFAULT_FILE = Path("routecast.toml")
PREFIX = "ROUTECAST_"
RESERVED = frozenset({"ROUTECAST_TRACES", "ROUTECAST_TEST_KAFKA", "ROUTECAST_TEST_INFLUX"})
"""Variables with our prefix that are no configuration."""

Table = dict[str, Any]


class Loaded(NamedTuple):
    """A configuration and where its values came from."""

    config: Config
    origins: Mapping[str, str]
    """Dotted key → file or variable, for every value that is not a default."""
    file: Path | None


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration of a file (./routecast.toml where None and present) with `ROUTECAST_SECTION__KEY` variables on top.

    Raises ConfigError naming every wrong key, its value and what is allowed.
    """
    return load(path, environ).config


def load(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """As `load_config`, and where each value came from."""
    file = path if path is not None else DEFAULT_FILE
    table = _read(file) if path is not None or file.exists() else {}
    source = str(file)
    origins = {key: source for key, _ in leaves(table, "")}
    for name, value in sorted(environ.items()):
        if name.startswith(PREFIX) and name not in RESERVED:
            _set(table, name, value, origins)
    if not table and file.exists():
        raise ConfigError(f"no configuration: {source!r} is empty; write at least one [[target]]; `routecast demo --write-config FILE` writes an example")
    if not file.exists():  # variables alone are no configuration: targets are written in a file
        raise ConfigError(
            f"no configuration: {str(DEFAULT_FILE)!r} is not here; give --config FILE or write it, at least one [[target]]; "
            "`routecast demo --write-config FILE` writes an example"
        )
    return Loaded(_validate(table, source, origins), origins, file if file.exists() else None)


def _read(file: Path) -> Table:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{str(file)!r} does not exist: give another --config FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{str(file)!r} cannot be read: {error.strerror if isinstance(error, OSError) else error}; give another --config FILE") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{str(file)!r} is not TOML: {error}") from error


def _set(table: Table, name: str, text: str, origins: dict[str, str]) -> None:
    keys = name[len(PREFIX) :].lower().split("__")
    if keys[0] == "target":
        raise ConfigError(f"{name}: targets are not set by environment; write them into the file")
    inner = table
    for key in keys[:-1]:
        inner = inner.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{name}: {key!r} is a value, not a table; leave out what comes after it")
    inner[keys[-1]] = _scalar(text)
    origins[".".join(keys)] = name


def _scalar(text: str) -> object:
    """A TOML value where the text is one, else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def leaves(value: object, key: str) -> Iterator[tuple[str, object]]:
    """Dotted keys below this one, and their values."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from leaves(inner, f"{key}[{i}]")
    else:
        yield key, value


def _validate(table: Table, source: str, origins: Mapping[str, str]) -> Config:
    problems: list[str] = []
    services = table.get("service")
    for name, overrides in services.items() if isinstance(services, dict) else ():
        problems += _problems(Routing, overrides, f"service.{name}", source, origins)
    problems += _problems(Config, {key: value for key, value in table.items() if key != "service"}, "", source, origins)
    if problems:
        raise ConfigError("\n".join(problems))
    problems = _problems(Config, table, "", source, origins)
    if problems:
        raise ConfigError("\n".join(problems))
    return Config.model_validate(table)


def _problems(model: type[BaseModel], value: object, prefix: str, source: str, origins: Mapping[str, str]) -> list[str]:
    try:
        model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False)
        deeper = {item["loc"][0] for item in found if len(item["loc"]) > 1}
        return [_sentence(model, dict(item), prefix, source, origins) for item in found if not (item["type"] == "too_short" and item["loc"][0] in deeper)]
    return []


def _sentence(model: type[BaseModel], item: Mapping[str, Any], prefix: str, source: str, origins: Mapping[str, str]) -> str:
    path: Sequence[str | int] = item["loc"]
    key = dotted([prefix, *path] if prefix else path)
    where = next((origin for name, origin in origins.items() if name == key or name.startswith(f"{key}.")), source)
    if item["type"] == "extra_forbidden":
        known = fields_at(model, path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"
        return f"{where}: {key}: no such key; {hint}"
    if item["type"] == "missing":
        return f"{where}: {key}: missing; it is required"
    if item["type"] == "tuple_type" and isinstance(item["input"], dict):
        return f"{where}: {key}: write [[{key}]], with two brackets: there may be many"
    message = str(item["msg"]).removeprefix("Value error, ")
    shown = f" = {item['input']!r}" if not isinstance(item["input"], dict | list | tuple) else ""
    return f"{where}: {key or 'configuration'}{shown}: {message[:1].lower()}{message[1:]}"


def dotted(path: Sequence[str | int]) -> str:
    """`target[2].quality` of a location."""
    key = ""
    for part in path:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    return key


def fields_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Names of the keys of the table at this location."""
    for part in path:
        if isinstance(part, str):
            inner = model_of(model.model_fields[part].annotation) if part in model.model_fields else None
            if inner is None:
                return []
            model = inner
    return list(model.model_fields)


def model_of(annotation: object) -> type[BaseModel] | None:
    """The model inside a type such as `tuple[TargetConfig, ...]`; None where there is none."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for argument in typing.get_args(annotation) if (found := model_of(argument))), None)
