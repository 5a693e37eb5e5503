from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from routecast.analytics.evaluation.decisions import logged_decisions
from routecast.models.errors import CheckFailed

AB, ABC = ("a", "b"), ("a", "b", "c")
USUAL: dict[str, Any] = {
    "request_id": "r", "attempt": 1, "started_at": 0.0, "ended_at": 1.0, "service": "chat", "target": "a", "term": 1.0, "seq": 7.0,
    "propensity": 0.5, "allowed": AB, "forced": "plain", "outcome": "ok", "caller_fault": False,
    "cost_usd": math.nan, "quality": math.nan, "input_tokens": math.nan, "max_output_tokens": math.nan,
}  # fmt: skip


def _table(*rows: dict[str, Any]) -> dict[str, Any]:
    """The columns of the table `decisions` that are read; times are seconds, None is missing."""
    whole = [USUAL | row for row in rows]
    table: dict[str, Any] = {name: np.array([row[name] for row in whole]) for name in USUAL if name not in {"allowed", "started_at", "ended_at"}}
    for name in ("started_at", "ended_at"):
        table[name] = np.array(["NaT" if row[name] is None else round(row[name] * 1e6) for row in whole], "datetime64[us]")
    table["allowed"] = np.fromiter((row["allowed"] for row in whole), object, len(whole))
    return table


def test_a_first_choice_brought_what_its_retries_brought() -> None:
    """Time to success from the first start to the first success, all that was paid, the quality of the answer; the first attempt apart."""
    logged = logged_decisions(
        _table(
            {"ended_at": 1.5, "outcome": "error", "cost_usd": 0.01},
            {"attempt": 2, "started_at": 1.6, "ended_at": 4.0, "target": "b", "cost_usd": 0.02, "quality": 0.9},
            {"request_id": "s", "started_at": 5.0, "ended_at": 5.5, "target": "b", "propensity": 0.25, "quality": 0.7},
        ), "chat",
    )  # fmt: skip
    assert (logged.targets, logged.chosen.tolist(), logged.propensity.tolist()) == (AB, [0, 1], [0.5, 0.25])
    assert logged.rewards["time_to_success_s"].tolist() == [4.0, 0.5]
    assert logged.rewards["success_ratio"].tolist() == [1.0, 1.0]
    assert logged.rewards["first_success_ratio"].tolist() == [0.0, 1.0]
    assert logged.rewards["cost_usd"].tolist() == pytest.approx([0.03, math.nan], nan_ok=True)
    assert logged.rewards["quality"].tolist() == [0.9, 0.7]
    assert logged.versions.tolist() == [[1, 7], [1, 7]]
    assert logged.excluded == {"retries and hedges": 1}


def test_a_request_without_success_costs_half_a_minute_more() -> None:
    """Beside the time until its last attempt had failed; it paid nothing where no price is known."""
    logged = logged_decisions(_table({"outcome": "timeout"}, {"attempt": 2, "started_at": 2.0, "ended_at": 3.0, "outcome": "error"}), "chat")
    assert logged.rewards["time_to_success_s"].tolist() == [33.0]
    assert logged.rewards["success_ratio"].tolist() == [0.0]
    assert logged.rewards["cost_usd"].tolist() == [0.0]


def test_a_first_attempt_that_a_hedge_has_beaten_says_nothing_of_itself() -> None:
    """The request counts with its success; what its first attempt would have brought is not known."""
    logged = logged_decisions(_table({"outcome": "cancelled", "ended_at": 3.0}, {"attempt": 2, "started_at": 1.0, "ended_at": 2.5, "target": "b"}), "chat")
    assert logged.rewards["time_to_success_s"].tolist() == [2.5]
    assert np.isnan(logged.rewards["first_success_ratio"]).all()


@pytest.mark.parametrize(
    ("row", "reason", "unknown"),
    [
        ({"propensity": math.nan, "forced": None, "allowed": None}, "no router decided", 0),
        ({"forced": "probe"}, "forced: probe", 0),
        ({"forced": "fallback"}, "forced: fallback", 0),
        ({"allowed": None}, "candidates not known", 0),
        ({"propensity": 1.0}, "the policy did not draw", 0),
        ({"outcome": None, "ended_at": None}, "not ended", 1),
        ({"outcome": "cancelled"}, "cancelled", 1),
        ({"outcome": "error", "caller_fault": True}, "fault of the caller's own", 0),
    ],
)
def test_what_cannot_be_weighted_is_left_out_and_counted(row: dict[str, Any], reason: str, unknown: int) -> None:
    """By reason; where the outcome is what is missing, that is counted apart."""
    logged = logged_decisions(_table({}, {"request_id": "s"} | row), "chat")
    assert len(logged) == 1
    assert (logged.excluded, logged.unknown) == ({reason: 1}, unknown)


def test_a_single_candidate_is_certain_and_counts() -> None:
    """Every policy would have taken it."""
    logged = logged_decisions(_table({"allowed": ("a",), "propensity": 1.0}, {"request_id": "s", "allowed": ABC, "target": "c"}), "chat")
    assert logged.targets == ABC
    assert logged.allowed.tolist() == [[True, False, False], [True, True, True]]


def test_situations_are_time_and_the_tokens_that_are_known() -> None:
    """Time of day once there are several days; a feature that is never known is none."""
    day_s = 86_400.0
    rows = [{"request_id": str(i), "started_at": at, "ended_at": at + 1, "input_tokens": 99.0} for i, at in enumerate((0.0, 29.0, 31.0, 3 * day_s + 60.0))]
    logged = logged_decisions(_table(*rows), "chat")
    assert logged.context[:, 1].tolist() == [0.0, 29.0, 31.0, 60.0]
    assert logged.context[:, 2] == pytest.approx(math.log(100.0))
    assert logged.context.shape == (4, 3)
    assert logged_decisions(_table(*rows[:3]), "chat").context.shape == (3, 2)


def test_requests_of_the_same_half_minute_are_a_block() -> None:
    """A short log has at least forty of them."""
    hour = [{"request_id": str(i), "started_at": 10.0 * i, "ended_at": 10.0 * i + 1} for i in range(361)]
    assert np.bincount(logged_decisions(_table(*hour), "chat").blocks).tolist() == [3] * 120 + [1]
    assert len(set(logged_decisions(_table(*hour[:81]), "chat").blocks.tolist())) == 41


def test_parts_of_the_log_follow_from_the_request_alone() -> None:
    """The same request is in the same part whatever else was logged."""
    rows = [{"request_id": f"r{i}", "started_at": float(i)} for i in range(200)]
    whole, half = logged_decisions(_table(*rows), "chat"), logged_decisions(_table(*rows[100:]), "chat")
    assert whole.folds[100:].tolist() == half.folds.tolist()
    assert len(set(whole.folds.tolist())) == 5


def test_a_service_that_was_not_called_is_a_mistake() -> None:
    """The message says which there are."""
    with pytest.raises(CheckFailed, match=r"no call of service 'search' .*\['chat'\]"):
        logged_decisions(_table({}), "search")


def test_other_services_are_not_counted() -> None:
    """Neither as decisions nor as left out."""
    logged = logged_decisions(_table({}, {"request_id": "s", "service": "search", "forced": "probe"}), "chat")
    assert (len(logged), logged.excluded, logged.service) == (1, {}, "chat")
