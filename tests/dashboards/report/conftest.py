"""A backtest as a report gets it, with names that would be markup if anybody let them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from routecast.analytics.backtest.metrics import figures
from routecast.models.backtest import (
    Backtest,
    Check,
    Difference,
    Failover,
    Fidelity,
    FittedTarget,
    Incident,
    OffPolicy,
    PolicyAnswer,
    Quality,
    Raised,
    Series,
    Source,
    SpellRow,
    StateSpan,
    Worst,
)  # fmt: skip
from routecast.models.decision import Alternative, Explanation, Factors
from routecast.models.report import Estimate

HOSTILE = "</td><script>alert('&\"')</script>\x00\u202e"
STEPS = 96


def _series(targets: tuple[str, ...], level: float) -> Series:
    p95 = tuple(None if i % 30 == 7 else level * (1.5 + math.sin(i / 9)) for i in range(STEPS))
    shares = {name: tuple(abs(math.sin(i / 7 + number)) / len(targets) for i in range(STEPS)) for number, name in enumerate(targets)}
    return Series(
        step_s=10.0, p50_ms=tuple(None if value is None else value / 2 for value in p95), p95_ms=p95, p95_low_ms=tuple(value and value * 0.8 for value in p95),
        p95_high_ms=tuple(value and value * 1.3 for value in p95), shares=shares,
    )  # fmt: skip


def _answer(name: str, targets: tuple[str, ...], level: float) -> PolicyAnswer:
    runs = [
        {"time_to_success_ms": level * factor, "mean_ms": level, "p95_ms": 3 * level, "failed_ratio": 0.01, "failover_s": 1.5} for factor in (0.9, 1.0, 1.2)
    ]
    return PolicyAnswer(
        name=name, policy="performance", configuration="c0ffee", figures=figures(runs), shares={target: 1 / len(targets) for target in targets},
        failovers=(Failover(target=targets[0], from_s=100.0, until_s=200.0, left_after_s=1.5, attempts=4, back_after_s=None),),
        alerts=(Raised(target=targets[0], kind="error_rate", severity="high", from_s=105.0, until_s=None, explained=True),),
        states=(StateSpan(target=targets[0], state="open", from_s=101.0, until_s=201.0),), series=_series(targets, level),
    )  # fmt: skip


def report_of(targets: int, policies: int) -> Backtest:
    """A report of so many targets, the first of which is hostile, and policies, the second of which is."""
    names = (HOSTILE, *(f"target-{i}" for i in range(1, targets)))
    answers = tuple(_answer(HOSTILE if i == 1 else f"policy-{i}", names, 1000.0 * 5**i) for i in range(policies))
    why = Explanation(
        target=HOSTILE, provider=HOSTILE, model="m", service="chat", region=None, policy="performance", snapshot=(1, 2), propensity=0.2, score=0.5, cost_s=1.0,
        response_time_ms=900.0, reliability=0.99, quality=None, factors=Factors(current_load=1, history=1, real_time=1, requirements=1),
        reason=f"because of {HOSTILE}", load_impact="1 in flight of about 4", unmet=(),
        alternatives=(Alternative(target="other", score=0.4, cost_s=2.0, probability=0.1, reason="costs 2.00 s"),),
    )  # fmt: skip
    return Backtest(
        routecast="0.1.0", seeds=(1, 2, 3), configuration="c0ffee", command=f"routecast backtest '{HOSTILE}'", verdict=f"{HOSTILE} takes 5.00 times as long.",
        source=Source(kind="recording", name=HOSTILE, digest="abc", service="chat", from_ms=1.7e12, until_ms=1.7e12 + 960_000, requests=5000, routers=4),
        targets=tuple(
            FittedTarget(target=name, answers=500, slots=None, slowing=0.02, knee=3, alone_ms=900.0, ttft_ms=200.0, tpot_ms=7.0, fail_ratio=0.001,
                         requests_per_min=60.0, usd_per_request=0.01, quality=0.8)
            for name in names
        ),
        spells=(SpellRow(target=HOSTILE, kind="failing", from_s=100.0, until_s=200.0, level=1.0, attempts=30),),
        labels=(Incident(target=HOSTILE, from_ms=1.7e12, until_ms=1.7e12 + 1, kind="any"),), labelled=True, policies=answers,
        differences=(Difference(name=HOSTILE, to="policy-0", mean=Estimate(value=5, low=4.5, high=5.5), p95=None, failed=None),),
        off_policy=(
            OffPolicy(name="policy-0", method="doubly robust", value_ms=Estimate(value=900, low=800, high=1000), effective_n=3000.0, refused=""),
            OffPolicy(name=HOSTILE, method="", value_ms=None, effective_n=None, refused=f"too thin for {HOSTILE}"),
        ),
        disagreements=(f"{HOSTILE}: load would queue",),
        fidelity=Fidelity(policy=HOSTILE, recorded={"mean_ms": 900.0, "failed_ratio": 0.0}, simulated={"mean_ms": Estimate(value=910, low=900, high=920)}),
        worst=(Worst(at_s=5.0, request=7, took_ms=9000.0, best_alone_ms=100.0, failed=True, decision=why),),
        quality=(Quality(what=HOSTILE, count=3, meaning=HOSTILE),), checks=(Check(expression="p95_ms>1", policy=HOSTILE, value=2.0, failed=True),),
    )  # fmt: skip


@pytest.fixture(scope="session")
def hostile() -> str:
    """A name that would be markup, ends attributes, and has characters that no XML knows."""
    return HOSTILE


@pytest.fixture(scope="session")
def make_report() -> Callable[[int, int], Backtest]:
    """Reports of so many targets and policies."""
    return report_of


@pytest.fixture(scope="session")
def report() -> Backtest:
    """Three targets, three policies, one of each hostile."""
    return report_of(3, 3)
