"""What `routecast demo` shows while it runs: a table that moves on a terminal, a line a virtual minute elsewhere (every ten without an end).

On stderr, so that stdout holds results alone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from routecast.cli.render import complain

if TYPE_CHECKING:
    from rich.table import Table

    from routecast.models.snapshot import RoutingSnapshot

_LINE_S = 60.0
_ENDLESS_LINE_S = 600.0


class DemoTable:
    """The targets as the newest snapshot has them.

    Args:
        policy: at work.
        duration_s: virtual seconds of the whole run; None where it has no end.
    """

    def __init__(self, policy: str, duration_s: float | None) -> None:
        from rich.console import Console  # noqa: PLC0415 - only the demonstration moves
        from rich.live import Live  # noqa: PLC0415

        self._policy = policy
        self._of = "" if duration_s is None else f" of {duration_s:.0f}"
        self._duration_s = duration_s
        self._line_s = self._next_line_s = _LINE_S if duration_s is not None else _ENDLESS_LINE_S
        self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, snapshot: RoutingSnapshot | None, at_s: float) -> None:
        """Show what is known at this virtual second."""
        if self._live is not None:
            self._live.update(self._table(snapshot, at_s), refresh=True)
        elif at_s >= self._next_line_s and (self._duration_s is None or at_s <= self._duration_s):
            self._next_line_s = at_s - at_s % self._line_s + self._line_s
            complain(f"{self._policy}: {at_s:.0f}{self._of} virtual seconds")

    def _table(self, snapshot: RoutingSnapshot | None, at_s: float) -> Table:
        from rich.table import Table  # noqa: PLC0415

        title = f"{self._policy} · {at_s:.0f}{self._of} virtual seconds"
        table = Table("target", "state", "share", "in flight", "capacity", "service s", "success", "score", title=title, box=None)
        for t in snapshot.targets if snapshot else ():
            share = f"{t.share * t.ramp:.1%} {'▇' * round(t.share * t.ramp * 40)}"
            table.add_row(t.id, t.state, share, f"{t.in_flight:.0f}", f"{t.capacity:.0f}", f"{t.service_s:.2f}", f"{t.success:.1%}", f"{t.score:.3f}")
        return table
