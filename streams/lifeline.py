"""Ending with whoever started this process: they hold the other end of its input, which closes when they are gone, however they went."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable


def when_alone(act: Callable[[], object]) -> None:
    """Do it once, from a thread of its own, when whoever started this process is gone; what still comes from them is left out."""
    threading.Thread(target=_watch, args=(sys.stdin.fileno(), act), name="routecast-lifeline", daemon=True).start()


def _watch(descriptor: int, act: Callable[[], object]) -> None:
    while os.read(descriptor, 65_536):  # not through the file object, whose lock would be held when the interpreter ends
        pass
    act()
