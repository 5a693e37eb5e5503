"""Parts of a page: paragraphs, lists and tables of texts, none of which becomes markup."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from routecast.dashboards.report.svg import escape
from routecast.models.report import Estimate

Cell = str | tuple[str, str]
"""A text, or a figure and what is to stand small below it."""


def figure(found: Estimate | None, words: Callable[[float], str]) -> Cell:
    """A figure and its interval below it, so that many columns fit; without one where there is a single seed, or nothing varies."""
    if found is None:
        return "–"
    value, low, high = words(found.value), words(found.low), words(found.high)
    return value if low == high else (value, f"{low} – {high}" if "+" in low + high else f"{low}–{high}")


def h2(text: str) -> str:
    """A head."""
    return f"<h2>{escape(text)}</h2>"


def h3(text: str) -> str:
    """A head within a part."""
    return f"<h3>{escape(text)}</h3>"


def p(text: str, kind: str = "") -> str:
    """A paragraph."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def items(texts: Iterable[str]) -> str:
    """A list."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def table(heads: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str) -> str:
    """A table; the first cell of a row is its head. Wider than the page it scrolls by itself, from the keyboard too."""
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = "".join(f'<tr><th scope="row">{_cell(row[0])}</th>{"".join(f"<td>{_cell(cell)}</td>" for cell in row[1:])}</tr>' for row in rows)
    inside = f"<table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return wide(inside, caption)


def wide(inside: str, label: str) -> str:
    """What scrolls by itself where the page is narrower."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{escape(label)}">{inside}</div>'


def _cell(cell: Cell) -> str:
    return escape(cell) if isinstance(cell, str) else f"{escape(cell[0])}<small>{escape(cell[1])}</small>"
