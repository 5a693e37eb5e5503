"""Which targets take requests at all, whatever those ask for; and the panic rule: never close off more than half of a service.

When breakers close off more than half of the candidates, the fault may be this router's own, and those left would be flooded: then all are used,
by cost (Envoy's panic threshold). What operators drained and what refuses by rate limit stays out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from routecast.models.requirements import Requirements
from routecast.models.snapshot import State

if TYPE_CHECKING:
    from routecast.analytics.routing.candidates import View

USABLE: frozenset[State] = frozenset({"ok", "degraded", "recovering", "unknown"})


def usable(view: View, i: int) -> bool:
    """Whether target `i` takes requests."""
    return view.entries[i].state in USABLE and view.entries[i].ramp > 0 and _open_handed(view, i)


def closed_off(view: View, i: int) -> bool:
    """Whether a breaker keeps target `i` from being used, and nothing else."""
    entry = view.entries[i]
    return (entry.state == "open" or (entry.state == "recovering" and entry.ramp <= 0)) and _open_handed(view, i)


def _open_handed(view: View, i: int) -> bool:
    return view.entries[i].headroom > 0 and view.targets[i].weight > 0


def panics(view: View, kept: Sequence[int]) -> bool:
    """Whether breakers close off more than half of these targets."""
    counted = [i for i in kept if view.targets[i].weight > 0]
    return 2 * sum(closed_off(view, i) for i in counted) > len(counted)


def reopened(view: View) -> View:
    """The view for when all must be used: breakers take nothing from a target's share."""
    entries = [replace(entry, ramp=1.0) if closed_off(view, i) else entry for i, entry in enumerate(view.entries)]
    return view._replace(entries=entries, probe=None)


def probes(view: View, requirements: Requirements, among: Sequence[int]) -> bool:
    """Whether a request of this class, which these targets would serve, may be the probe that is due; none that is urgent or prefers others."""
    i = view.probe
    return i is not None and i in among and closed_off(view, i) and requirements.urgency != "high" and not requirements.preferred
