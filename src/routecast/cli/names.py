"""Names that people misspell: what there is instead, the nearest first."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from routecast.cli.render import complain

USAGE = 2
_LISTED = 12


def missing(kind: str, name: str, known: Iterable[str]) -> str:
    """What to tell somebody who names a `kind` of thing that does not exist."""
    from difflib import get_close_matches  # noqa: PLC0415 - seldom needed

    names = list(known)
    near = get_close_matches(name, names, n=2, cutoff=0.6)
    if near:
        return f"no {kind} {name!r}; did you mean {' or '.join(map(repr, near))}?"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"no {kind} {name!r}; there {'is' if len(names) == 1 else 'are'} {', '.join(names[:_LISTED]) or 'none'}{more}"


def require(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """End the command with a usage error where one of the names is not known."""
    listed = list(known)
    for name in names:
        if name not in listed:
            complain(missing(kind, name, listed))
            raise typer.Exit(USAGE)
