from __future__ import annotations

from typing import Any

import pytest

from routecast.cli.experiment_screen import list_row, show_experiment
from routecast.models.experiment_report import ArmReport, ExperimentReport, SampleRatio


def arm(name: str, **more: Any) -> ArmReport:
    """An arm of a hundred requests."""
    plain: dict[str, Any] = {"share": 0.5, "policy": "", "exposed": 100, "attempts": 100, "ended": 98, "ok": 97, "failed": 1, "cancelled": 0, "caller_fault": 0}
    return ArmReport(name=name, **(plain | more))


def report(*arms: ArmReport, **more: Any) -> ExperimentReport:
    """An experiment that has run for a minute."""
    plain: dict[str, Any] = {
        "name": "x", "salt": "0123abcd", "service": "chat", "unit": "request", "shadow": False, "measure": "latency", "state": "running", "started_ms": 0.0,
        "at_ms": 60_000.0, "ends_ms": 1e7, "ended_by": "", "why": "", "arms": arms, "comparisons": (), "rails": (), "verdict": "undecided", "to_go_s": None,
        "sample_ratio": SampleRatio(tested=False, ok=True, p=1.0),
    }  # fmt: skip
    return ExperimentReport(**(plain | more))


def test_an_arm_shows_what_makes_it_different(capsys: pytest.CaptureFixture[str]) -> None:
    """Its policy, its weights, and the first of the targets that it has alone or is kept away from."""
    weights = {"a": 2.0, **dict.fromkeys("bcdef", 0.0)}
    show_experiment(report(arm("control"), arm("two", targets=("g", "h")), arm("mini", policy="greedy", weights=weights)), 60_000.0, "table")
    said = " ".join(capsys.readouterr().out.split())
    assert "control - 50%" in said
    assert "two only g, h 50%" in said
    assert "mini greedy, a × 2, without b, c, d and 2 more 50%" in said


def test_a_shadow_serves_nothing_and_is_counted_once(capsys: pytest.CaptureFixture[str]) -> None:
    """It has decisions, and how many were for the target that served; no share and no latency."""
    found = report(arm("now"), arm("then", ended=0, ok=0, failed=0, agreed=16), shadow=True)
    show_experiment(found, 60_000.0, "table")
    said = " ".join(capsys.readouterr().out.split())
    assert "then - 100 none 16" in said
    assert "%" not in said
    assert list_row(found, 60_000.0)[4] == "100"
