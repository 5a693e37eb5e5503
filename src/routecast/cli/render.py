"""The one place where results become text: a table for people, `--json` for programs, `--plain` for pipes.

Data goes to stdout, everything else to stderr; NO_COLOR is honoured, and nothing moves without a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

Form = Literal["table", "json", "plain"]


def form(*, json: bool, plain: bool) -> Form:
    """What was asked for; JSON wins."""
    return "json" if json else "plain" if plain else "table"


def console() -> Console:
    """Standard output; as wide as the terminal, 120 columns on a pipe."""
    from rich.console import Console  # noqa: PLC0415 - slow to import, and not for --help

    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)


def show(text: str) -> None:
    """A line of data."""
    console().print(text, markup=False)


def complain(text: str) -> None:
    """A message for the person at the terminal."""
    print(f"routecast: {text}", file=sys.stderr, flush=True)


def show_json(model: BaseModel) -> None:
    """The model as JSON."""
    print(model.model_dump_json(indent=2))


def show_rows(heads: Sequence[str], rows: Sequence[Sequence[str]], chosen: Form, *, title: str = "") -> None:
    """Rows as a table, or with tabs between the cells."""
    if chosen == "plain":
        for row in (heads, *rows):
            print("\t".join(row))
        return
    from rich.table import Table  # noqa: PLC0415 - slow to import, and not for --help

    table = Table(*heads, title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.overflow = "fold"  # a name that was cut short cannot be typed
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*row)
    console().print(table)
