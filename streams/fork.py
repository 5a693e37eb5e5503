"""Objects that hold buffers, names or locks must begin anew in a forked child."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable


def renew_after_fork(method: Callable[[], None]) -> None:
    """Call a bound method in every child that this process forks, for as long as its object lives."""
    reference = weakref.WeakMethod(method)

    def renew() -> None:
        alive = reference()
        if alive is not None:
            alive()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)
