"""Objects that hold buffers, names or locks must begin anew in a forked child."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

Owner = TypeVar("Owner")

_log = logging.getLogger(__name__)
_told = set[int]()

_renewals: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()


def renew_after_fork(owner: Owner, renew: Callable[[Owner], None]) -> None:
    """Call `renew(owner)` in every child that this process forks, for as long as `owner` lives."""
    _renewals[owner] = renew


def tell_of_inheritance() -> None:
    """Say once in a process that the router or emitter it uses was connected by its parent, and what that means."""
    if os.getpid() not in _told:
        _told.add(os.getpid())
        _log.warning(
            "this process was forked from the one that connected: nothing it does is reported, and it hears of nothing new; connect in each "
            "process, with gunicorn in post_fork or without preload_app"
        )


def _renew_all() -> None:
    for owner, renew in list(_renewals.items()):
        renew(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
