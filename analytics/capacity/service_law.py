"""How a target spends its time: what an answer takes alone, how much longer beside others, and from when on answers wait.

slowness(m) = 1 + slope·max(0, m − knee) with m calls worked on, at most `slots` of them at once. That is a roofline (S. Williams et al., 2009) behind
an admission bound: slope 0 is a queue with slots, knee = 1/slope shares a processor, knee 1 is a batch whose steps grow with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Law(NamedTuple):
    """What load does to a target."""

    slots: float
    """Calls worked on at once, ≥ 1; infinite: nothing waits."""
    knee: float
    """Up to so many calls none slows down."""
    slope: float
    """How much more of its own time a call takes for each further one, ≥ 0."""

    def slowness(self, busy: float) -> float:
        """How many times as long as alone a call takes while so many are worked on."""
        return 1.0 + self.slope * max(0.0, busy - self.knee)

    @property
    def most(self) -> float:
        """Calls' worth of work that a full target does at once: its throughput × the time of an answer alone; infinite without bound."""
        if self.slots == math.inf:
            return 1.0 / self.slope if self.slope > 0 else math.inf
        return self.slots / self.slowness(self.slots)


class Work(NamedTuple):
    """What an answer takes alone, ms: a fixed part and parts in proportion to the tokens."""

    fixed_ms: float
    per_input_ms: float
    per_output_ms: float

    def of(self, input_tokens: Floats, output_tokens: Floats) -> Floats:
        """Expected time alone of requests with these tokens, ms."""
        return self.fixed_ms + self.per_input_ms * input_tokens + self.per_output_ms * output_tokens


@dataclass(frozen=True, eq=False)
class TargetFit:
    """What events say of one target: a law, what its answers take, and how sure that is. Plain data."""

    target: str
    law: Law
    """The most likely one."""
    work: Work
    spread: Floats
    """Time alone ÷ expected time alone of the answers behind the fit, rising."""
    n: int
    """Answers behind it; 0: nothing is known, and it stands for its service."""
    seen: int
    """The most calls that were open at once."""
    laws: Floats
    """[alternatives × 3] laws that the events leave possible."""
    weights: Floats
    """How likely each of them is; Σ = 1."""
    scales: Floats | None = None
    """By how much answers would take longer alone under each of them; None: by nothing."""
    shown: float = 1.0
    """How likely it is that fewer calls than were open at once are all that it takes to fill it, 0..1."""
    fail_ratio: float = 0.0
    """Share of the calls that fail."""
    fail_ms: float = 0.0
    """Mean time of a failure."""
    requests_per_s: float | None = None
    """Rate limit; None: none known."""
    weight: float = 1.0
    """Factor on its planned share."""
    capacity: float = math.inf
    """Concurrent calls that are configured; infinite: none are."""

    @property
    def bounded(self) -> bool:
        """Whether a bound was seen, rather likely than not, or configured; else the law's is what others of the service have."""
        return self.shown >= 0.5 or self.capacity < math.inf

    def with_law(self, law: Law, *, requests_per_s: float | None) -> TargetFit:
        """The same target under another law and rate limit."""
        return replace(self, law=law, requests_per_s=requests_per_s)

    def under(self, alternative: int) -> TargetFit:
        """The same target under one of the laws that are possible, with what its answers then take alone."""
        law = Law(*self.laws[alternative].tolist())
        law = law._replace(slots=min(law.slots, self.capacity))
        if self.scales is None:
            return replace(self, law=law)
        scale = float(self.scales[alternative])
        return replace(self, law=law, work=Work(*(scale * part for part in self.work)), scales=self.scales / scale)

    def alone_ms(self, input_tokens: Floats, output_tokens: Floats) -> float:
        """Mean time of answers to these requests alone."""
        return float(self.work.of(input_tokens, output_tokens).mean() * self.spread.mean())
