"""`routecast export`: a recording as a table in a file that other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from routecast.cli.bounds import BOUND, bound_of
from routecast.cli.kafka import Json
from routecast.cli.progress import Progress
from routecast.cli.render import show, show_json

if TYPE_CHECKING:
    import pandas as pd

Table = Literal["events", "decisions", "windows"]


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `routecast record` or `routecast import` wrote.")],
    *,
    out: Annotated[Path, typer.Option(help="The file to write, .parquet or .csv; it must not exist.")],
    events: Annotated[bool, typer.Option("--events", help="A row for each event.")] = False,
    decisions: Annotated[bool, typer.Option("--decisions", help="A row for each call to a target, with the decision behind it.")] = False,
    windows: Annotated[bool, typer.Option("--windows", help="A row for each closed window of each target, provider, service and the system.")] = False,
    begin: Annotated[str | None, typer.Option("--from", metavar=BOUND, help="Only what was appended from then on.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar=BOUND, help="Only what was appended before.")] = None,
    json: Json = False,
) -> None:
    """Write one table of a recording; docs/data.md explains the columns. Unknown is an empty cell."""
    from routecast.models.data import Exported  # noqa: PLC0415 - pydantic is slow to import

    asked: tuple[tuple[Table, bool], ...] = (("events", events), ("decisions", decisions), ("windows", windows))
    chosen: list[Table] = [name for name, wanted in asked if wanted]
    if len(chosen) != 1:
        raise typer.BadParameter("give one of --events, --decisions, --windows")
    frame = _table(file, chosen[0], begin, end, out, json=json)
    told = Exported(file=str(file), table=chosen[0], out=str(out), rows=len(frame), columns=tuple(frame.columns), bytes=out.stat().st_size)
    if json:
        show_json(told)
    else:
        show(f"{told.rows:,} rows of {len(told.columns)} columns in {str(out)!r}, {told.bytes / 1e6:.1f} MB")


def _table(file: Path, name: Table, begin: str | None, end: str | None, out: Path, *, json: bool) -> pd.DataFrame:
    from routecast.models.errors import ConfigError  # noqa: PLC0415

    if out.suffix not in {".parquet", ".csv"}:
        raise ConfigError(f"{str(out)!r}: give a file that ends in .parquet or .csv")
    if not out.parent.is_dir():
        raise ConfigError(f"{str(out)!r} cannot be written: there is no folder {str(out.parent)!r}")
    if out.exists():
        raise ConfigError(f"{str(out)!r} exists: give another file, nothing is overwritten")
    try:
        from routecast import frames  # noqa: PLC0415 - pandas is slow to import
    except ImportError as error:
        raise ConfigError("tables need pandas and pyarrow: pip install 'routecast[analytics]'") from error
    load = {"events": frames.load_events, "decisions": frames.load_decisions, "windows": frames.load_windows}[name]
    with Progress("reading", json=json) as progress:
        frame = load(file, begin=bound_of(begin), end=bound_of(end), tell=progress.tell)
    frames.write_table(frame, out)
    return frame
