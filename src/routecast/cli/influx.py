"""`routecast influx`: make buckets and tokens, and see whether they are as they must be."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routecast.cli.kafka import File, Json, Plain
from routecast.cli.render import complain, form, show, show_json, show_rows

if TYPE_CHECKING:
    from routecast.dashboards.influx.administration import Role
    from routecast.models.config import Influx
    from routecast.models.influx import InfluxMade, TokenMade

app = typer.Typer(no_args_is_help=True, help="Make buckets and tokens in InfluxDB, and check them.")

_DAY_S = 86_400


@app.command()
def init(
    *,
    config: File = None,
    renew: Annotated[bool, typer.Option("--renew", help="Make both tokens anew; the old ones end.")] = False,
    save: Annotated[bool, typer.Option("--save", help="Store new tokens in the files of [influx], for this user alone, and do not print them.")] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Make organisation, buckets, a token that may only write and one that may only read; each token is printed once."""
    settings = _settings(config)
    from routecast.dashboards.influx.administration import Administration  # noqa: PLC0415
    from routecast.dashboards.influx.connection import token_of  # noqa: PLC0415 - after the check that the extra is there

    made = Administration(settings, token_of(settings.admin_token_file, "admin_token_file")).make(renew=renew, save=save)
    if json:
        show_json(made)
    else:
        _print(made, plain=plain)
    for token in made.tokens:
        if token.lacks:
            complain(f"the {token.role} token may not use {', '.join(token.lacks)}, which came after it: --renew makes another one")
        if save and not token.saved and not Path(token.file).exists():
            complain(f"the {token.role} token was made before and cannot be shown again, and {token.file!r} is not there: --renew --save makes both anew")


@app.command()
def check(*, config: File = None, json: Json = False, plain: Plain = False) -> None:
    """Say whether the server answers and both tokens may do what they must; exit code 5 and what to do where not."""
    from routecast.models.errors import CheckFailed  # noqa: PLC0415 - with the models
    from routecast.models.influx import InfluxFindings  # noqa: PLC0415

    settings = _settings(config)
    from routecast.dashboards.influx.administration import findings  # noqa: PLC0415
    from routecast.dashboards.influx.connection import token_of  # noqa: PLC0415 - after the check that the extra is there

    tokens: dict[Role, str] = {"write": token_of(settings.token_file, "token_file"), "read": token_of(settings.read_token_file, "read_token_file")}
    found = InfluxFindings(url=settings.url, organisation=settings.organisation, findings=tuple(findings(settings, tokens)))
    if json:
        show_json(found)
    else:
        rows = [(finding.what, "ok" if finding.ok else "wrong", finding.detail, finding.mend) for finding in found.findings]
        show_rows(("what", "is", "detail", "mend"), rows, form(json=json, plain=plain))
    wrong = [finding for finding in found.findings if not finding.ok]
    if wrong:
        raise CheckFailed(f"{len(wrong)} of {len(found.findings)} things at {settings.url} are not as they must be: mend them as listed")


@app.command()
def schema() -> None:
    """Print every measurement with its tags, fields, types, units and buckets, as Markdown."""
    from routecast.dashboards.influx.schema_tables import schema_tables  # noqa: PLC0415 - not for --help

    print(schema_tables())


def _settings(config: Path | None) -> Influx:
    """`[influx]`. Raises ConfigError, also where the client is not installed."""
    from routecast.models.errors import ConfigError  # noqa: PLC0415 - pydantic is slow to import
    from routecast.streams.configuration import load_config  # noqa: PLC0415

    if find_spec("influxdb_client") is None:
        raise ConfigError("this needs the client of InfluxDB, which is not installed: pip install 'routecast[dashboards]'")
    return load_config(config, os.environ).influx


def _print(made: InfluxMade, *, plain: bool) -> None:
    chosen = form(json=False, plain=plain)
    kept = [f"{bucket.kept_s // _DAY_S} d" if bucket.kept_s else "for ever" for bucket in made.buckets]
    show_rows(("bucket", "keeps", ""), [(b.name, time, b.done) for b, time in zip(made.buckets, kept, strict=True)], chosen)
    show("")
    show_rows(("token may", "file", "", "token"), [(token.role, token.file, token.done, _shown(token)) for token in made.tokens], chosen)


def _shown(token: TokenMade) -> str:
    if token.token is not None:
        return token.token
    return "stored in the file" if token.saved else "shown when it was made; --renew makes another"
