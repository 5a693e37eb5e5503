"""What alerts are given of the demonstration and its four troubles, period by period, in a file: once with its traffic, once with four times as much.

The test of the agreement between alerts of the stream and Grafana's rules plays it to both. `python benchmarks/recorded_incidents.py` makes it anew,
in three minutes: after a change of routing or of breakers, whose doing it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.trial import Simulation, run
from routecast.analytics.windows.period import Period
from routecast.dashboards.points.scores import CODES
from routecast.demo.comparison import START_MS
from routecast.demo.demonstration import ROUTERS, SERVICE, scene
from routecast.models.config import Config
from routecast.models.insights import Alert, Subject
from routecast.models.snapshot import State
from routecast.routed import RouterPolicy
from routecast.testing import Fleet

FILE: Final = Path(__file__).parents[1] / "tests" / "dashboards" / "grafana" / "demonstration.npz"
SECONDS: Final = 1450.0
"""As the study of dashboards plays it: its outages last for 218 s then, which is long enough to wake somebody."""
TRAFFIC: Final = (1, 4)
COUNTS: Final = ("ok", "error", "timeout", "rate_limited", "requests", "slow", "duration_n", "duration_ms")
"""Of a period, what alerts look at; nobody judges quality there."""
_STATES: Final[dict[int, State]] = {code: state for state, code in CODES.items()}


class Recorded(NamedTuple):
    """The demonstration as alerts see it."""

    config: Config
    counts: NDArray[np.int64]
    """[periods × targets × figures], in the order of `COUNTS`; every period lasts for ten seconds."""
    states: NDArray[np.uint8]
    """[periods × targets] Codes."""

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """The system, the targets, the service."""
        targets = [Subject(kind="target", id=t.id, provider=t.provider, model=t.model, service=t.service) for t in self.config.target]
        return (Subject(kind="system", id="system"), *targets, Subject(kind="service", id=SERVICE, service=SERVICE))

    def period(self, number: int, origin_ms: float) -> tuple[Period, Mapping[str, State]]:
        """A period of a demonstration that began then, and the states at its end."""
        own = self.counts[number].astype(float)
        whole = own.sum(axis=0, keepdims=True)
        figures = dict(zip(COUNTS, np.concatenate([whole, own, whole]).T, strict=True))
        none = np.zeros(len(own) + 2)
        unseen = dict.fromkeys(("ttft_n", "ttft_ms", "tpot_n", "tpot_ms", "quality_n", "quality_sum", "cost_usd"), none)
        start_ms = origin_ms + 10_000.0 * number
        states: dict[str, State] = {target.id: _STATES[code] for target, code in zip(self.config.target, self.states[number].tolist(), strict=True)}
        return Period(start_ms=start_ms, end_ms=start_ms + 10_000.0, subjects=self.subjects, **figures, **unseen), states


class _Listener:
    """Keeps what the alerts of a fleet are given."""

    def __init__(self, fleet: Fleet) -> None:
        self._names = [target.id for target in fleet.config.target]
        self._check = fleet.pipeline.leader._insights.alerts.check
        self.counts: list[NDArray[np.int64]] = []
        self.states: list[list[int]] = []

    def check(self, period: Period, states: Mapping[str, State]) -> list[Alert]:
        """Stands before the alerts."""
        places = {subject.id: place for place, subject in enumerate(period.subjects) if subject.kind == "target"}
        rows = [[round(float(getattr(period, name)[places[target]])) if target in places else 0 for name in COUNTS] for target in self._names]
        self.counts.append(np.array(rows, np.int64))
        self.states.append([CODES[states.get(target, "unknown")] for target in self._names])
        return self._check(period, states)


def recorded(traffic: int, file: Path = FILE) -> Recorded:
    """The demonstration with so many times its traffic."""
    with np.load(file) as kept:
        return Recorded(scene(1, SECONDS).config(), kept[f"counts_{traffic}"], kept[f"states_{traffic}"])


def record(traffic: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Play it in virtual time; counts and states."""
    stage, made = scene(1, SECONDS, traffic), list[_Listener]()

    def build(simulation: Simulation) -> RouterPolicy:
        fleet = Fleet(stage.config(), routers=ROUTERS, seed=1, queue=simulation.queue)
        made.append(_Listener(fleet))
        fleet.pipeline.leader._insights.alerts.check = made[0].check  # type: ignore[method-assign]
        return RouterPolicy(simulation, [target.id for target in fleet.config.target], fleet.router)

    run(stage.world, build, seed=1, make=stage.make, queue=EventQueue(START_MS))
    return np.stack(made[0].counts), np.array(made[0].states, np.uint8)


def main() -> None:
    """Make the file."""
    kept: dict[str, NDArray[np.int64] | NDArray[np.uint8]] = {}
    for traffic in TRAFFIC:
        kept[f"counts_{traffic}"], kept[f"states_{traffic}"] = record(traffic)
        requests = int(kept[f"counts_{traffic}"][:, :, COUNTS.index("requests")].sum())
        print(f"{traffic} × traffic: {len(kept[f'counts_{traffic}'])} periods, {requests:,} requests")
    np.savez_compressed(FILE, **kept)  # type: ignore[arg-type]
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
