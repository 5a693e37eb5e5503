"""What the textbook says: the load at which a share of the requests waits longer than a limit in M/M/c.

Poisson arrivals, exponential service, one line in front of all slots. Shown for comparison: real arrivals come in bursts.

Source: A. K. Erlang, "Solution of some problems in the theory of probabilities", 1917; W. Whitt, "Understanding the efficiency of multi-server
service systems", Management Science 38, 1992, for the time waited.
"""

from __future__ import annotations

import math

_STEPS = 60


def waiting_probability(slots: int, offered: float) -> float:
    """Share of the requests that wait at all, where `offered` < `slots` is arrival rate × mean service time; 1 at or above."""
    if offered >= slots:
        return 1.0
    blocked = 1.0
    for k in range(1, slots + 1):
        blocked = offered * blocked / (k + offered * blocked)
    return blocked / (1.0 - offered / slots * (1.0 - blocked))


def sustainable_per_s(slots: float, service_s: float, limit_s: float, share: float = 0.05) -> float:
    """The highest arrival rate at which at most `share` of the requests wait longer than `limit_s`."""
    whole = max(1, math.floor(slots))
    low, high = 0.0, whole / service_s
    for _ in range(_STEPS):
        rate = (low + high) / 2
        late = waiting_probability(whole, rate * service_s) * math.exp(-(whole / service_s - rate) * limit_s)
        low, high = (rate, high) if late <= share else (low, rate)
    return low
