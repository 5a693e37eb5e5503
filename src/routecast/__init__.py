"""Performance-aware routing for AI providers, as an event-streaming pipeline.

Where to begin reading: an application's requests go `models/events.py` → `streams/emitter.py` → `streams/agents.py` → `analytics/fold.py` →
`analytics/pane.py` → `analytics/merge.py` → `streams/leadership/leader.py` → `analytics/snapshot.py` → `models/snapshot.py` → `streams/router.py` →
`analytics/balance.py`.

Names are loaded when they are first used, so that `routecast --help` need not wait for numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routecast.models.config import Config
    from routecast.models.decision import Decision, Explanation
    from routecast.models.errors import CheckFailed, ConfigError, DecodeError, NoTarget, QueueFull, RoutecastError, StaleSnapshot, Unreachable
    from routecast.models.requirements import Requirements
    from routecast.streams.calls.call import Call
    from routecast.streams.emitter import Emitter
    from routecast.streams.router import Router

__all__ = [
    "Call",
    "CheckFailed",
    "Config",
    "ConfigError",
    "Decision",
    "DecodeError",
    "Emitter",
    "Explanation",
    "NoTarget",
    "QueueFull",
    "Requirements",
    "RoutecastError",
    "Router",
    "StaleSnapshot",
    "Unreachable",
]

_HOMES = {
    "models.config": ("Config",),
    "models.decision": ("Decision", "Explanation"),
    "models.errors": ("CheckFailed", "ConfigError", "DecodeError", "NoTarget", "QueueFull", "RoutecastError", "StaleSnapshot", "Unreachable"),
    "models.requirements": ("Requirements",),
    "streams.calls.call": ("Call",),
    "streams.emitter": ("Emitter",),
    "streams.router": ("Router",),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"routecast.{module}"), name)
    raise AttributeError(f"module 'routecast' has no attribute {name!r}")
