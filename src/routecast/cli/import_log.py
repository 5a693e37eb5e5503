"""`routecast import`: a plain request log as a recording."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routecast.cli.kafka import Json
from routecast.cli.progress import Progress, moment
from routecast.cli.render import complain, form, show, show_json, show_rows

USAGE = 2

if TYPE_CHECKING:
    from routecast.models.data import Imported
    from routecast.models.mapping import LogMapping


def import_log(
    log: Annotated[Path | None, typer.Argument(metavar="LOG", help="A CSV file with a heading, or JSON lines; .gz is unpacked.")] = None,
    *,
    mapping: Annotated[Path | None, typer.Option(help="What its columns mean, a TOML file; --example prints one.")] = None,
    out: Annotated[Path | None, typer.Option(help="The recording to write; it must not exist.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Targets and services for the recording; made from the lines by default.")] = None,
    example: Annotated[bool, typer.Option("--example", help="Print a mapping to begin with.")] = False,
    json: Json = False,
) -> None:
    """Make a recording of a request log; what cannot be mapped is counted and shown."""
    if example:
        from routecast.models.mapping import EXAMPLE  # noqa: PLC0415 - pydantic is slow to import

        print(EXAMPLE, end="")
        return
    if log is None or mapping is None or out is None:
        lacking = [name for name, given in (("LOG", log), ("--mapping FILE", mapping), ("--out FILE", out)) if given is None]
        missing = f"{' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing"
        complain(f"{missing}: `routecast import LOG --mapping FILE --out FILE`; --example prints a mapping")
        raise typer.Exit(USAGE)
    found = _imported(log, mapping, out, config, json=json)
    if json:
        show_json(found)
    else:
        _print(found)


def _imported(log: Path, mapping: Path, out: Path, config: Path | None, *, json: bool) -> Imported:
    from routecast.streams.configuration import load_config  # noqa: PLC0415 - pydantic is slow to import
    from routecast.streams.recordings.importing import Import  # noqa: PLC0415

    given = load_config(config, os.environ) if config is not None else None
    with Progress("importing", json=json) as progress:
        return Import(log, _mapping(mapping), config=given, tell=progress.tell).run(out)


def _mapping(file: Path) -> LogMapping:
    from routecast.models.errors import ConfigError  # noqa: PLC0415 - pydantic is slow to import
    from routecast.models.mapping import mapping_of  # noqa: PLC0415

    try:
        return mapping_of(tomllib.loads(file.read_text(encoding="utf-8")), str(file))
    except OSError as error:
        raise ConfigError(f"{str(file)!r} cannot be read: {error.strerror}; `routecast import --example` prints a mapping") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{str(file)!r} is no TOML: {error}") from None


def _print(found: Imported) -> None:
    span = f"{moment(found.first_ms)} to {moment(found.last_ms)} UTC"
    show(f"{found.requests:,} of {found.lines:,} lines became attempts at {len(found.targets):,} targets, {span}")
    show(f"{found.events:,} events in {found.out!r}")
    if found.unused:
        show(f"columns that the mapping does not name: {', '.join(found.unused)}")
    if not found.troubles:
        return
    complain(f"{found.skipped:,} lines and {found.values:,} values of other lines were left out")
    rows = [(t.column or "(line)", t.reason, f"{t.lines:,}", ", ".join(map(str, t.first)), t.example) for t in found.troubles]
    show_rows(("column", "reason", "lines", "first lines", "example"), rows, form(json=False, plain=False))
