"""The keys of the terminal view: bindings, footer and help say the same because they are made from one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from textual.binding import Binding, BindingType


class Key(NamedTuple):
    """A key, or several that do the same."""

    keys: str
    """As Textual names them; empty: bound elsewhere, by the table."""
    action: str
    shown: str
    """On the help screen."""
    does: str
    footer: str = ""
    """In the footer; empty: not there."""


KEYS: Final[Sequence[Key]] = (
    Key("", "", "↑ ↓ PgUp PgDn Home End", "move to a target; so do j, k, g, G and the mouse"),
    Key("", "", "Enter", "everything about the target: why it gets its share, intervals, alerts; Esc goes back", "⏎ details"),
    Key("d", "drain", "d", "take the target out of service, after a question", "d drain"),
    Key("r", "resume", "r", "put it back into service, after a question", "r resume"),
    Key("slash", "filter", "/", "show only what matches: words, or state:open, service:chat, provider:…; Esc shows all", "/ filter"),
    Key("", "", "← →", "sort by another column; a click on its head does it too", "←→ sort"),
    Key("", "", "i", "sort the other way round"),
    Key("w", "window", "w", "figures of the last 10 s, 1 min, 5 min, 1 h"),
    Key("e", "events", "e", "a longer event log, and back"),
    Key("space", "pause", "Space", "stand still, and go on", "␣ pause"),
    Key("full_stop", "step", ".", "one step of a recording or demonstration"),
    Key("plus,equals_sign", "faster(1)", "+", "play it faster"),
    Key("minus", "faster(-1)", "-", "play it slower"),
    Key("right_square_bracket", "seek(30)", "]", "30 s forwards"),
    Key("left_square_bracket", "seek(-30)", "[", "30 s back"),
    Key("t", "theme", "t", "colours of the terminal, dark ones, light ones"),
    Key("question_mark,f1,h", "help", "?", "this help", "? help"),
    Key("q,ctrl+c", "quit", "q", "quit", "q quit"),
)


def bindings() -> list[BindingType]:
    """For the application."""
    return [Binding(key.keys, key.action, key.does, show=False) for key in KEYS if key.keys]


def footer() -> str:
    """The most useful keys in one line."""
    return "  ".join(key.footer for key in KEYS if key.footer)
