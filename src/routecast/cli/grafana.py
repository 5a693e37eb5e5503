"""`routecast grafana`: dashboards and alert rules for Grafana, as files; and whether files are as they must be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from routecast.cli.kafka import File, Json, Plain
from routecast.cli.render import form, show, show_json, show_rows

app = typer.Typer(no_args_is_help=True, help="Write dashboards and alert rules for Grafana, and check them.")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to; it is made.")],
    *,
    config: File = None,
    prefix: Annotated[str | None, typer.Option(help="Before the names of buckets; that of [influx] by default.")] = None,
    dashboards_in: Annotated[str | None, typer.Option(help="Where Grafana will find DIR/dashboards; /etc/grafana/routecast by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also overwrite files that no export has written.")] = False,
    json: Json = False,
) -> None:
    """Write dashboards, alert rules and where the data is, so that Grafana can mount them; do it again after a change of the configuration."""
    from routecast.dashboards.grafana.export import export as write  # noqa: PLC0415 - not for --help
    from routecast.dashboards.grafana.provisioning import DASHBOARDS_IN  # noqa: PLC0415
    from routecast.streams.configuration import load_config  # noqa: PLC0415

    settings = load_config(config, os.environ | ({} if prefix is None else {"ROUTECAST_INFLUX__BUCKET_PREFIX": prefix}))
    written = write(folder, settings, dashboards_in=dashboards_in or DASHBOARDS_IN, force=force)
    if json:
        show_json(written)
        return
    for name in written.files:
        show(f"{written.folder}/{name}")
    show("")
    show(f"Mount {written.folder}/provisioning as /etc/grafana/provisioning and {written.folder}/dashboards as {dashboards_in or DASHBOARDS_IN},")
    show(f"and give Grafana {', '.join(written.variables)} in its environment.")


@app.command()
def lint(
    folder: Annotated[Path | None, typer.Argument(help="A folder that `export` wrote, or one with dashboards; those of the package by default.")] = None,
    *,
    config: File = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Say what of dashboards and alert rules is not as it must be, and what to do; exit code 5 where something is."""
    from routecast.dashboards.grafana.linting import lint as look  # noqa: PLC0415 - not for --help
    from routecast.dashboards.grafana.linting import shipped_texts, texts_in  # noqa: PLC0415
    from routecast.models.errors import CheckFailed  # noqa: PLC0415
    from routecast.streams.configuration import DEFAULT_FILE, load_config  # noqa: PLC0415

    settings = load_config(config, os.environ) if config or DEFAULT_FILE.exists() else None
    found = look(texts_in(folder) if folder else shipped_texts(settings))
    if json:
        show_json(found)
    else:
        rows = [(f"{flaw.file}: {flaw.where}", flaw.rule, flaw.what, flaw.mend) for flaw in found.flaws]
        if rows:
            show_rows(("where", "rule", "what", "mend"), rows, form(json=json, plain=plain))
        else:
            show(f"{found.files} files with {found.queries} queries are as they must be")
    if found.flaws:
        raise CheckFailed(f"{len(found.flaws)} things in {found.files} files are not as they must be: mend them as listed")
