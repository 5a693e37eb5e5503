"""A backtest from its input to its report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import NamedTuple

from routecast.analytics.backtest.condition import Condition
from routecast.analytics.backtest.disagreement import disagreements
from routecast.analytics.backtest.fidelity import fidelity
from routecast.analytics.backtest.verdict import differences, verdict
from routecast.backtest.backtesting import run_all
from routecast.backtest.fleet import Candidate
from routecast.backtest.input import Input
from routecast.models.backtest import Backtest, Incident, OffPolicy


class Asked(NamedTuple):
    """What the report is to say beside the figures."""

    command: str
    """Prints it again."""
    conditions: tuple[Condition, ...] = ()
    labels: tuple[Incident, ...] | None = None
    """None: the spells found in the input stand for them."""


def backtest(
    played: Input, candidates: Sequence[Candidate], asked: Asked, off_policy: Sequence[OffPolicy] = (), *, jobs: int | None = None,
    tell: Callable[[float], object] = lambda _: None,
) -> Backtest:  # fmt: skip
    """Play all candidates and say what came of it; `off_policy` is what the log itself says of them."""
    outcome = run_all(played.scenes, candidates, asked.labels, jobs=jobs, tell=tell)
    found = differences(outcome.runs)
    by_name = {it.name: it for it in outcome.policies}
    return Backtest(
        routecast=version("routecast"), source=played.source, seeds=tuple(scene.seed for scene in played.scenes), configuration=played.config.version,
        command=asked.command, verdict=verdict(outcome.runs, found), targets=played.targets, spells=played.spells, labels=outcome.incidents,
        labelled=asked.labels is not None, policies=outcome.policies, differences=found, off_policy=tuple(off_policy),
        disagreements=disagreements(outcome.policies, off_policy, played.targets, _per_s(played), left_out=_left_out(played)),
        fidelity=fidelity(played.traffic, played.scenes[0], outcome.policies, played.config.version) if played.traffic is not None else None,
        noticed=outcome.noticed, worst=outcome.worst, quality=played.quality, checks=tuple(it.of(by_name[it.policy].figures) for it in asked.conditions),
    )  # fmt: skip


def _left_out(played: Input) -> int:
    """Recorded requests that are not played."""
    return 0 if played.traffic is None else int(played.traffic.attempts.first.sum()) - played.source.requests


def _per_s(played: Input) -> float:
    return played.source.requests * 1000.0 / max(1.0, played.source.until_ms - played.source.from_ms)
