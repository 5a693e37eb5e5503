"""`routecast config`: check, show and explain the configuration."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated

import typer

from routecast.cli.render import complain, form, show, show_json, show_rows

USAGE = 2

app = typer.Typer(no_args_is_help=True, help="Check, show and explain the configuration.")
File = Annotated[Path | None, typer.Option("--config", help="The file; ./routecast.toml by default.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Plain = Annotated[bool, typer.Option("--plain", help="Print text with tabs.")]


@app.command()
def check(*, config: File = None, json: Json = False) -> None:
    """Say whether the configuration is right; exit code 3 with every error where it is not."""
    from routecast.cli.keys import Checked  # noqa: PLC0415 - pydantic is slow to import
    from routecast.streams.configuration import load  # noqa: PLC0415
    from routecast.streams.doctor.machine import said  # noqa: PLC0415

    loaded = load(config, os.environ)
    if json:
        targets = tuple(target.id for target in loaded.config.target)
        show_json(Checked(file=str(loaded.file), version=loaded.config.version, services=tuple(sorted(loaded.config.services)), targets=targets))
    else:
        show(f"ok: {said(loaded)}")


@app.command("show")
def show_values(*, config: File = None, json: Json = False, plain: Plain = False) -> None:
    """Show every value in force and where it came from."""
    from routecast.cli.keys import Values, values_of  # noqa: PLC0415 - pydantic is slow to import
    from routecast.streams.configuration import load  # noqa: PLC0415

    loaded = load(config, os.environ)
    values = Values(version=loaded.config.version, values=tuple(values_of(loaded)))
    if json:
        show_json(values)
    else:
        show_rows(("key", "value", "from"), [(v.key, v.value, v.origin) for v in values.values], form(json=json, plain=plain))


@app.command()
def explain(key: str, *, config: File = None, json: Json = False, plain: Plain = False) -> None:
    """Explain a key: meaning, type, allowed values, default, and what it is now."""
    from routecast.cli.keys import current, general, keys  # noqa: PLC0415 - pydantic is slow to import

    known = {item.key: item for item in keys()}
    name = general(key)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        complain(f"no key {key!r}; " + (f"did you mean {', '.join(near)}?" if near else "`routecast config show` lists them"))
        raise typer.Exit(USAGE)
    found = known[name].model_copy(update={"values": current(name, config)})
    if json:
        show_json(found)
        return
    rows = [("key", found.key), ("meaning", found.meaning), ("type", found.type), ("allowed", found.allowed), ("default", found.default)]
    rows += [("now", f"{v.key} = {v.value} ({v.origin})") for v in found.values]
    show_rows(("", ""), rows, form(json=json, plain=plain))


@app.command()
def reference() -> None:
    """Print every key as the tables of docs/configuration.md."""
    from routecast.cli.keys import reference_tables  # noqa: PLC0415 - pydantic is slow to import

    print(reference_tables())
