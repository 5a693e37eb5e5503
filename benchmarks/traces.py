"""The recorded arrivals of the worlds `azure` and `mooncake`, from the folder that ROUTECAST_TRACES names."""

from __future__ import annotations

import os
from typing import Final

from routecast.analytics.simulation.arrivals import Traffic
from routecast.backtest.traces import TraceName, trace
from routecast.models.errors import ConfigError

_WORLDS: Final[dict[str, TraceName]] = {"azure": "azure", "mooncake": "mooncake"}


def recorded(name: str) -> Traffic | None:
    """The trace behind a world of this name; None where it has none or its file is missing."""
    if "ROUTECAST_TRACES" not in os.environ or name not in _WORLDS:
        return None
    try:
        found = trace(_WORLDS[name], os.environ)
    except ConfigError:
        return None
    return Traffic(found.offsets_s, found.output_tokens)
