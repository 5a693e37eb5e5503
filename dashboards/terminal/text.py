"""The board as styled text: the same for the screen and for `--once`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from routecast.dashboards.terminal.board import Board, Happening
from routecast.dashboards.terminal.columns import SEVERITY_STYLES, STYLES, SYMBOLS, Fitted, cells, fit
from routecast.dashboards.terminal.words import duration, lasting, line_of, number, percent, time_of
from routecast.models.severity import SEVERITIES

_DAY_MS: Final = 72_000_000.0
"""What is older is shown with its date."""
_KINDS: Final = {"state": "◆", "trip": "⚡", "alert": "!", "change": "~", "recommendation": "→", "word": "»", "leader": "♔"}
_LEVELS: Final[dict[str, str]] = {
    "over": "green", "worse": "red", "better": "green", "drain": "bold", "resume": "bold", "closed": "green",
    **{str(state): style for state, style in STYLES.items()}, **{str(severity): style for severity, style in SEVERITY_STYLES.items()},
}  # fmt: skip


def title(board: Board, more: str = "") -> Text:
    """Where it is from, of when, and how old what is shown is."""
    services = ", ".join(line_of(line.service) for line in board.services) or "no service"
    oldest = max((line.age_ms for line in board.services), default=None)
    text = Text.assemble(("routecast top", "bold"), f" · {line_of(board.source)} · {services} · {time_of(board.at_ms)} UTC")
    if more:
        text.append(f" · {more}", "bold cyan")
    elif oldest is not None:
        stale = any(line.stale for line in board.services)
        text.append(f" · {lasting(oldest)} old" if oldest >= 1000.0 else " · up to date", "bold red" if stale else "dim")
    return text


def totals(board: Board) -> Text:
    """Requests, success, p95, alerts, leader."""
    text = Text.assemble(
        (f"{number(board.requests_per_min)}", "bold"), " requests/min  ",
        (percent(board.success_ratio), "bold"), " success  ",
        (duration(board.p95_ms), "bold"), f" p95 in {board.window}  ",
    )  # fmt: skip
    loud = [alert for alert in board.alerts if not alert.inhibited_by]
    if loud:
        counts = [(sum(alert.severity == severity for alert in loud), severity) for severity in reversed(SEVERITIES)]
        text.append(
            f"! {len(loud)} alert{'s' if len(loud) > 1 else ''}: " + ", ".join(f"{n} {name}" for n, name in counts if n), SEVERITY_STYLES[loud[0].severity]
        )
    else:
        text.append("no alert", "green")
    routers = max((line.routers for line in board.services), default=0)
    text.append(f"  {routers} router{'' if routers == 1 else 's'}" + (f"  led by {board.leader}" if board.leader else ""), "dim")
    return text


def sentence(board: Board) -> Text:
    """What is the matter."""
    style = "bold red" if board.trouble or any(line.stale for line in board.services) else STYLES[board.targets[0].state] if board.targets else "bold"
    symbol = SYMBOLS[board.targets[0].state] if board.targets and not board.trouble else "✖" if board.trouble else "?"
    return Text.assemble((f"{symbol} ", style), line_of(board.sentence))


def heads(fitted: Sequence[Fitted], sort: str, *, reverse: bool) -> Text:
    """The names of the columns; that by which it is sorted is marked."""
    text = Text()
    for number_of, it in enumerate(fitted):
        chosen = it.column.head == sort
        head = it.head.ljust(it.width) if it.column.left else it.head.rjust(it.width)
        if chosen:
            head = head[:-1] + "▴▾"[not reverse] if it.column.left else "▴▾"[not reverse] + head[1:] if head.startswith(" ") else head
        text.append(" " if number_of else "").append(head, "bold reverse" if chosen else "bold")
    return text


def line(happening: Happening, now_ms: float) -> Text:
    """A line of the event log."""
    when = time_of(happening.at_ms)
    if now_ms - happening.at_ms > _DAY_MS:
        when = f"{lasting(now_ms - happening.at_ms)} ago".rjust(8)
    style = _LEVELS.get(happening.level, "")
    return Text.assemble((when, "dim"), (f" {_KINDS[happening.kind]} ", style), (happening.who, "bold"), (f" {happening.level}", style), f" {happening.text}")


def lines(board: Board, width: int, more: str = "") -> Iterator[Text]:
    """Everything at once, for a pipe or a terminal that is not taken over; `more` as for the title."""
    fitted = fit(board, width)
    yield from (title(board, more), totals(board), sentence(board), Text(), heads(fitted, "state", reverse=False))
    for row in board.targets:
        yield Text(" ").join(Text(text, style) for text, style in cells(fitted, row, board.at_ms))
    if board.happenings:
        yield Text()
        yield Text("What happened, the newest last", "bold")
        yield from (line(happening, board.at_ms) for happening in board.happenings[-12:])
