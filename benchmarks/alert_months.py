"""Months with known incidents, as periods: traffic with day and night, an outage, a partial failure, a slow day, blips.

A service of six targets, of which one has the troubles. In some months its breaker works: while it is out it gets probes alone, and the
others its traffic; in others applications choose by themselves and go on sending.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast import Config
from routecast.analytics.windows.period import Period
from routecast.models.config import TargetConfig
from routecast.models.insights import Subject
from routecast.models.snapshot import State

Floats = NDArray[np.float64]

DAY_MS = 86_400_000
PERIOD_MS = 10_000
START_MS = 1_700_006_400_000
"""A midnight."""
TARGETS = 6
PER_MIN = 240.0
"""Requests to the service, mean over a day; a fifth of it at night, nearly twice of it at noon."""
FAILING = 0.001
MEAN_MS = 1600.0
SIGMA = 0.7
WITHIN_MS = 10_000.0
BAD = 2
"""The target with the troubles."""
_PROBE_MS = 30_000


class Trouble(NamedTuple):
    """Something that happens to the one target in [start_ms, end_ms)."""

    name: str
    start_ms: int
    end_ms: int
    failing: float
    slower: float = 1.0


def config(targets: int = TARGETS) -> Config:
    """The service."""
    return Config(target=tuple(TargetConfig(id=f"target-{i}", provider=f"provider-{i}", model="gpt-4o", service="chat") for i in range(targets)))


def troubles(seed: int, days: int = 30, blips: int = 200) -> list[Trouble]:
    """Outage, partial failure and slow day at times of day and night, blips of 5 to 45 s in between."""
    rng = np.random.default_rng([seed, 1])
    minute = 60_000

    def at(day: float) -> int:
        return START_MS + round(days / 30 * day * DAY_MS + rng.uniform(0.0, 0.9) * DAY_MS) // PERIOD_MS * PERIOD_MS

    outage, partial, slow = at(6), at(13), at(20) // DAY_MS * DAY_MS
    found = [
        Trouble("outage", outage, outage + 54 * minute, 1.0),
        Trouble("partial", partial, partial + 180 * minute, 0.30),
        Trouble("slow day", slow, slow + DAY_MS, FAILING, 2.0),
    ]
    for start_s in np.sort(rng.uniform(0.0, days * DAY_MS / 1000.0 - 60.0, blips)).tolist():
        start_ms = START_MS + round(start_s) * 1000
        blip = Trouble("blip", start_ms, start_ms + round(rng.uniform(5.0, 45.0)) * 1000, float(rng.uniform(0.5, 1.0)), float(rng.choice([1.0, 10.0])))
        if not any(trouble.start_ms - 1800_000 < blip.start_ms < trouble.end_ms + 1800_000 for trouble in found[:2]):
            found.append(blip)
    return found


class Look(NamedTuple):
    """A period and what routing knows at its end."""

    period: Period
    states: dict[str, State]


def looks(seed: int, happening: list[Trouble], *, days: int = 30, breaker: bool, targets: int = TARGETS, per_min: float = PER_MIN) -> Iterator[Look]:
    """The month, ten seconds at a time."""
    rng = np.random.default_rng([seed, 2])
    subjects = (
        Subject(kind="system", id="system"),
        *(Subject(kind="target", id=t.id, provider=t.provider, model=t.model, service=t.service) for t in config(targets).target),
        Subject(kind="service", id="chat", service="chat"),
    )
    queue = sorted(happening, key=lambda trouble: trouble.start_ms)
    out = _Breaker() if breaker else None
    for start_ms in range(START_MS, START_MS + days * DAY_MS, PERIOD_MS):
        end_ms = start_ms + PERIOD_MS
        queue = [trouble for trouble in queue if trouble.end_ms > start_ms]
        now = [trouble for trouble in queue if trouble.start_ms < end_ms]
        shares = np.full(targets, 1.0 / targets)
        if out and out.open:
            shares[BAD] = 0.0
            shares /= shares.sum()
        arrived = rng.poisson(_rhythm(start_ms) * per_min * PERIOD_MS / 60_000 * shares).astype(float)
        if out and out.open and start_ms >= out.next_ms:
            arrived[BAD] = 1.0
        failing, slower = np.full(targets, FAILING), np.ones(targets)
        for trouble in now:
            part = (min(end_ms, trouble.end_ms) - max(start_ms, trouble.start_ms)) / PERIOD_MS
            failing[BAD] = min(1.0, failing[BAD] + part * trouble.failing)
            slower[BAD] *= 1.0 + part * (trouble.slower - 1.0)
        period = _period(rng, start_ms, end_ms, subjects, arrived, failing, slower)
        if out:
            out.see(end_ms, period.ok[1 + BAD], period.failed[1 + BAD])
        states: dict[str, State] = {subject.id: "ok" for subject in subjects if subject.kind == "target"}
        if out and out.open:
            states[f"target-{BAD}"] = "open" if end_ms < out.next_ms else "recovering"
        yield Look(period, states)


class _Breaker:
    """Trips on what cannot be chance; then a probe every half minute, every period after a success; seven in a row close it."""

    def __init__(self) -> None:
        self.open = False
        self.next_ms = 0
        self._good = 0

    def see(self, end_ms: int, ok: float, failed: float) -> None:
        if not self.open:
            self.open, self._good = failed >= 3.0 and failed > 0.1 * ok, 0
            self.next_ms = end_ms + _PROBE_MS
        elif failed:
            self._good, self.next_ms = 0, end_ms + _PROBE_MS
        elif ok:
            self._good, self.next_ms = self._good + 1, end_ms
            self.open = self._good < 7


def _rhythm(at_ms: int) -> float:
    """Rate at a time of day ÷ mean rate."""
    return math.exp(1.1 * math.sin(2.0 * math.pi * (at_ms % DAY_MS / DAY_MS - 0.25))) / 1.33


def _period(rng: np.random.Generator, start_ms: int, end_ms: int, subjects: tuple[Subject, ...], arrived: Floats, failing: Floats, slower: Floats) -> Period:
    failed = rng.binomial(arrived.astype(int), failing).astype(float)
    ok = arrived - failed
    mean_ms = MEAN_MS * slower
    above = np.array([0.5 * math.erfc((math.log(WITHIN_MS / ms) + SIGMA**2 / 2.0) / SIGMA / math.sqrt(2.0)) for ms in mean_ms.tolist()])
    slow = rng.binomial(ok.astype(int), above).astype(float)
    spread = math.sqrt(math.expm1(SIGMA**2))
    total_ms = np.maximum(0.3 * ok, ok + spread * np.sqrt(ok) * rng.normal(size=len(ok))) * mean_ms
    quality_n = rng.binomial(ok.astype(int), 0.05).astype(float)

    def every(values: Floats) -> Floats:
        return np.concatenate([[values.sum()], values, [values.sum()]])

    none = np.zeros(len(subjects))
    return Period(
        start_ms=start_ms, end_ms=end_ms, subjects=subjects, ok=every(ok), error=every(failed), timeout=none, rate_limited=none, requests=every(arrived),
        slow=every(slow), duration_n=every(ok), duration_ms=every(total_ms), ttft_n=none, ttft_ms=none, tpot_n=none, tpot_ms=none,
        quality_n=every(quality_n), quality_sum=every(0.92 * quality_n), cost_usd=none,
    )  # fmt: skip
