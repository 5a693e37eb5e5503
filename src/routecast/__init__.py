"""Performance-aware routing for AI providers, as an event-streaming pipeline.

Where to begin reading: an application's requests go `models/events.py` → `streams/emitter.py` → `analytics/fold.py` →
`analytics/pane.py` → `analytics/merge.py` → `analytics/snapshot.py` → `models/snapshot.py` → `streams/router.py` →
`analytics/balance.py`.
"""

from routecast.models.config import Config
from routecast.models.decision import Decision, Explanation
from routecast.models.errors import ConfigError, DecodeError, NoTarget, QueueFull, RoutecastError, StaleSnapshot
from routecast.models.requirements import Requirements
from routecast.streams.call import Call
from routecast.streams.emitter import Emitter
from routecast.streams.router import Router

__all__ = [
    "Call",
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
]
