"""How far long work is, on stderr: a line that moves on a terminal, a line every five seconds elsewhere, of JSON where the result is."""

from __future__ import annotations

import json as to_json
import sys
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

_TERMINAL_S, _PIPE_S = 0.2, 5.0


class Progress:
    """Tells how many events are done, the time they have reached, and the speed.

    Args:
        doing: what is done, one word.
        events: how many there are; 0 where nobody knows.
        json: whether JSON was asked for.
    """

    def __init__(self, doing: str, events: int = 0, *, json: bool = False) -> None:
        self._doing = doing
        self._all = events
        self._moves, self._json = sys.stderr.isatty(), json
        self._began_s = self._told_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._moves:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def tell(self, events: int, at_ms: float) -> None:
        """Say it, unless that was said a moment ago. `at_ms`: the time the events have reached, epoch ms; 0 before the first."""
        if not self._due():
            return
        per_s = events / (self._told_s - self._began_s)
        left_s = (self._all - events) / per_s if per_s and self._all > events else None
        text = f"{events:,} events, up to {moment(at_ms)}, {per_s:,.0f} events/s"
        self._print(text, left_s, {"events": events, "at_ms": at_ms, "events_per_s": round(per_s)})

    def tell_share(self, share: float) -> None:
        """Say how much of work without events is done, 0..1, unless that was said a moment ago."""
        if not self._due():
            return
        left_s = (1.0 - share) / share * (self._told_s - self._began_s) if share > 0 else None
        self._print(f"{share:.0%}", left_s, {"share": round(share, 2)})

    def _print(self, text: str, left_s: float | None, said: dict[str, float]) -> None:
        line = f"{self._doing}: {text}" + (f", {left_s:.0f} s left" if left_s is not None else "")
        if self._moves:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif self._json:
            print(to_json.dumps({"doing": self._doing} | said | ({} if left_s is None else {"left_s": round(left_s)})), file=sys.stderr, flush=True)
        else:
            print(f"routecast: {line}", file=sys.stderr, flush=True)

    def _due(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._told_s < (_TERMINAL_S if self._moves else _PIPE_S):
            return False
        self._told_s = now_s
        return True


def moment(at_ms: float) -> str:
    """A time as people read it, UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}" if at_ms else "the beginning"
