"""The columns of the table of targets: what they show, how wide they are, by what they sort, and which of them fit."""

# ruff: noqa: ARG001, ARG005 - all cells have one signature
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from routecast.dashboards.terminal.board import Board, TargetRow
from routecast.dashboards.terminal.history import sparkline
from routecast.dashboards.terminal.trouble import WORTH_A_LOOK
from routecast.dashboards.terminal.words import duration, lasting, line_of, number, percent
from routecast.models.insights import Direction
from routecast.models.severity import Severity
from routecast.models.snapshot import State

SYMBOLS: Final[Mapping[State, str]] = {
    "ok": "●", "degraded": "▲", "open": "✖", "recovering": "◔", "rate_limited": "■", "drained": "○", "unknown": "?",
}  # fmt: skip
STYLES: Final[Mapping[State, str]] = {
    "ok": "green", "degraded": "yellow", "open": "bold red", "recovering": "cyan", "rate_limited": "magenta", "drained": "dim", "unknown": "dim",
}  # fmt: skip
SEVERITY_STYLES: Final[Mapping[Severity, str]] = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}
_SEVERITY_SYMBOLS: Final[Mapping[Severity, str]] = {"critical": "‼", "high": "!", "medium": "!", "low": "i"}
_TRENDS: Final[Mapping[Direction, tuple[str, str]]] = {
    "declining": ("↘", "red"), "improving": ("↗", "green"), "stable": ("→", "dim"), "unknown": (" ", ""),
}  # fmt: skip
_BAD_RATIO, _VERY_BAD_RATIO = 0.05, 0.15
_GAP: Final = 1
_UNKNOWN: Final = -1.0
"""Sorts what is not known behind everything else."""
_WIDEST_SPARK, _WIDEST_TARGET = 30, 40

Cell = tuple[str, str]
"""Text and style."""
SortKey = float | str


class Column(NamedTuple):
    """A column.

    Attributes:
        head: its name.
        width: cells it needs at least.
        rank: which columns give way first where there is no room; 0 stays.
        sort: what it sorts by; numbers with the largest first, texts by the alphabet.
        cell: what it shows of a row at this time, in this width.
    """

    head: str
    width: int
    rank: int
    sort: Callable[[TargetRow], SortKey]
    cell: Callable[[TargetRow, float, int], Cell]
    left: bool = False


def _spark(row: TargetRow, now_ms: float, width: int) -> Cell:
    return sparkline(row.p95s if any(p95 is not None for p95 in row.p95s) else row.rates, width), "cyan"


def _since(row: TargetRow, now_ms: float, width: int) -> Cell:
    long = lasting(now_ms - row.since.at_ms).replace(" ", "").replace("min", "m")
    return (long if row.since.exact else f">{long}"), ""


def _state(row: TargetRow, now_ms: float, width: int) -> Cell:
    mark = _SEVERITY_SYMBOLS[row.alert] if row.alert else "~" if row.state == "ok" and row.trouble >= WORTH_A_LOOK else ""
    style = SEVERITY_STYLES[row.alert] if row.alert and row.state == "ok" else "yellow" if mark == "~" else STYLES[row.state]
    return f"{SYMBOLS[row.state]} {row.state.removeprefix('rate_')}{f' {mark}' if mark else ''}", style


def _ratio(value: float | None) -> Cell:
    style = "" if value is None or value < _BAD_RATIO else "yellow" if value < _VERY_BAD_RATIO else "red"
    return percent(value), style


def _known(value: float | None) -> float:
    return _UNKNOWN if value is None else value


COLUMNS: Final[Sequence[Column]] = (
    Column("target", 14, 0, lambda row: row.id, lambda row, now_ms, width: (line_of(row.id), ""), left=True),
    Column("state", 13, 0, lambda row: row.trouble, _state, left=True),
    Column("since", 5, 2, lambda row: -row.since.at_ms, _since),
    Column("p50", 6, 12, lambda row: _known(row.p50_ms), lambda row, now_ms, width: (duration(row.p50_ms), "")),
    Column("p95", 6, 1, lambda row: _known(row.p95_ms), lambda row, now_ms, width: (duration(row.p95_ms), "")),
    Column("ttft", 6, 13, lambda row: _known(row.ttft_p95_ms), lambda row, now_ms, width: (duration(row.ttft_p95_ms), "")),
    Column("err", 5, 3, lambda row: _known(row.failure_ratio), lambda row, now_ms, width: _ratio(row.failure_ratio)),
    Column("429", 5, 5, lambda row: _known(row.rate_limit_ratio), lambda row, now_ms, width: _ratio(row.rate_limit_ratio)),
    Column("/min", 5, 4, lambda row: _known(row.requests_per_min), lambda row, now_ms, width: (number(row.requests_per_min), "")),
    Column("share", 5, 6, lambda row: _known(row.share), lambda row, now_ms, width: (percent(row.share), "")),
    Column("plan", 5, 9, lambda row: _known(row.planned), lambda row, now_ms, width: (percent(row.planned), "dim")),
    Column("fly", 4, 9, lambda row: row.in_flight, lambda row, now_ms, width: (number(round(row.in_flight)), "")),
    Column("queue", 5, 16, lambda row: _known(row.queue), lambda row, now_ms, width: (number(row.queue), "")),
    Column("score", 5, 11, lambda row: row.score, lambda row, now_ms, width: (f"{row.score:.2f}", "")),
    Column("cost s", 6, 14, lambda row: row.cost_s, lambda row, now_ms, width: (number(row.cost_s), "")),
    Column("usd", 7, 17, lambda row: row.usd, lambda row, now_ms, width: (f"{row.usd:.4f}" if row.usd else "-", "")),
    Column("↗", 1, 8, lambda row: row.trend, lambda row, now_ms, width: _TRENDS[row.trend]),
    Column("p95, 10 min", 8, 7, lambda row: _known(row.p95_ms), _spark, left=True),
    Column("provider", 11, 15, lambda row: row.provider, lambda row, now_ms, width: (line_of(row.provider), ""), left=True),
    Column("service", 9, 10, lambda row: row.service, lambda row, now_ms, width: (line_of(row.service), ""), left=True),
)  # fmt: skip
BY_TROUBLE: Final = "state"
_TARGET, _SPARK, _SERVICE, _QUEUE, _USD, _PLAN = "target", "p95, 10 min", "service", "queue", "usd", "plan"
_SHORTER: Final = {_SPARK: "p95"}


class Fitted(NamedTuple):
    """A column and the width it gets."""

    column: Column
    width: int

    @property
    def head(self) -> str:
        """Its name, where there is room for it."""
        return self.column.head if len(self.column.head) <= self.width else _SHORTER.get(self.column.head, self.column.head[: self.width])


def fit(board: Board, width: int) -> list[Fitted]:
    """The columns that fit, in their order; what is left over goes to names of targets and to sparklines."""
    useless = _useless(board)
    ranked = sorted((column for column in COLUMNS if column.head not in useless), key=lambda column: column.rank)
    kept, left = list[Column](), width + _GAP
    for column in ranked:
        if column.rank and column.width + _GAP > left:
            break
        kept.append(column)
        left -= column.width + _GAP
    more = {_TARGET: min(max(0, left), max(0, _longest(board.targets) - kept[0].width))}
    more[_SPARK] = min(max(0, left - more[_TARGET]), _WIDEST_SPARK - 8)
    return [Fitted(column, column.width + more.get(column.head, 0)) for column in COLUMNS if column in kept]


def _useless(board: Board) -> set[str]:
    """Columns that would say nothing."""
    says = {
        _SERVICE: len(board.services) > 1, _QUEUE: any(row.queue is not None for row in board.targets), _USD: any(row.usd for row in board.targets),
        _PLAN: any(row.planned is not None for row in board.targets),
    }  # fmt: skip
    return {head for head, useful in says.items() if not useful}


def _longest(rows: Iterable[TargetRow]) -> int:
    return min(_WIDEST_TARGET, max((len(row.id) for row in rows), default=0))


def cells(fitted: Sequence[Fitted], row: TargetRow, now_ms: float) -> list[Cell]:
    """Of one row, each as wide as its column."""
    return [(_cut(text, width, left=column.left), style) for column, width in fitted for text, style in (column.cell(row, now_ms, width),)]


def _cut(text: str, width: int, *, left: bool) -> str:
    if len(text) > width:
        return text[: width - 1] + "…"
    return text.ljust(width) if left else text.rjust(width)


def ordered(rows: Iterable[TargetRow], head: str, *, reverse: bool = False) -> list[TargetRow]:
    """Rows by a column, equal ones as they were; `state` keeps what needs a look first."""
    column = next(column for column in COLUMNS if column.head == head)
    found = list(rows)
    largest_first = bool(found) and not isinstance(column.sort(found[0]), str)
    return sorted(found, key=column.sort, reverse=largest_first != reverse)


def matching(rows: Iterable[TargetRow], wanted: str) -> list[TargetRow]:
    """Rows that hold every word, in any of target, provider, model, service, region and state; `state:open` looks in that field alone."""
    words = wanted.lower().split()
    return [row for row in rows if all(_holds(row, word) for word in words)]


def _holds(row: TargetRow, word: str) -> bool:
    fields = {
        "target": row.id, "provider": row.provider, "model": row.model, "service": row.service, "region": row.region or "", "state": row.state,
    }  # fmt: skip
    field, colon, value = word.partition(":")
    if colon and field in fields:
        return value in fields[field].lower()
    return any(word in text.lower() for text in fields.values())
