"""Policies side by side on the decisions of a recording: as a pandas DataFrame, `load_choices`, or summed up, `compare_choices`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from routecast.analytics.balance import POLICIES
from routecast.analytics.evaluation.decisions import logged_decisions
from routecast.analytics.evaluation.logged import Logged
from routecast.analytics.evaluation.named import NOT_LOGGED, policy_named
from routecast.analytics.evaluation.side_by_side import LOGGED, Side, Sides, side_by_side
from routecast.analytics.evaluation.snapshot_policies import expected_costs
from routecast.frames import load_decisions
from routecast.models.errors import CheckFailed, ConfigError
from routecast.models.side_by_side import PolicySide, SideBySide
from routecast.streams.recordings.attempts import recorded_config, service_of
from routecast.streams.recordings.decisions import Told, recorded_snapshots, silent
from routecast.streams.recordings.recording import Recording


class _Asked(NamedTuple):
    table: pd.DataFrame
    sides: Sides
    refused: tuple[str, ...]
    logged_cost_s: float


def load_choices(path: str | Path, policies: Sequence[str], *, service: str | None = None, seed: int = 0, tell: Told | None = None) -> pd.DataFrame:
    """One row for each plainly drawn decision and policy, in the order of the decisions.

    Columns: `request_id`, `started_at`, `logged` (the recorded choice), `policy`, `target` (what it draws, with the same luck as all others),
    `propensity` (of that), `logged_propensity` (with which it would have taken the recorded choice), `cost_s` (what the snapshot expects of `target`,
    seconds), `expected_cost_s` (over its draws).

    Args:
        path: what `routecast record` wrote, with the ticks of its leader.
        policies: names; see docs/evaluation.md for those whose choices follow from a log.
        service: may be left out where there is only one.
        seed: of the luck.
        tell: told now and then how far it is.

    Raises ConfigError for a policy that cannot be asked, CheckFailed where nothing can be compared, and as `load_decisions`.
    """
    asked = _ask(Path(path), policies, service, seed, tell or silent)
    if asked.refused:
        raise ConfigError(f"policy {asked.refused[0]!r}: {NOT_LOGGED}")
    return pd.concat([_frame(asked, name, side) for name, side in asked.sides.sides.items()]).sort_index(kind="stable").reset_index(drop=True)


def compare_choices(path: str | Path, policies: Sequence[str], *, service: str | None = None, seed: int = 0, tell: Told | None = None) -> SideBySide:
    """The same, summed up; a policy that cannot be asked is listed with the reason. Arguments and other errors are those of `load_choices`."""
    asked = _ask(Path(path), policies, service, seed, tell or silent)
    logged = asked.sides.logged
    return SideBySide(
        file=str(path), service=logged.service, decisions=len(logged), logged_cost_s=asked.logged_cost_s, excluded=dict(logged.excluded),
        policies=tuple(_summed(asked.sides, name) if name in asked.sides.sides else _refused(name) for name in dict.fromkeys(policies)),
    )  # fmt: skip


def _ask(path: Path, policies: Sequence[str], service: str | None, seed: int, tell: Told) -> _Asked:
    if unknown := [name for name in policies if name not in POLICIES]:
        raise ConfigError(f"there is no policy {unknown[0]!r}: choose among {', '.join(sorted(POLICIES))}")
    with Recording(path) as recording:
        config = recorded_config(recording)
        if config is None:
            raise CheckFailed(f"{str(path)!r} holds no configuration that this version reads: policies need its targets; record again")
        of = service_of(service, config, frozenset())
        snapshots = recorded_snapshots(recording, tell).get(of, {})
    targets, routing = config.targets_of(of), config.routing_for(of)
    found = {name: policy_named(name, snapshots, targets, routing) for name in dict.fromkeys(policies)}
    table = load_decisions(path, tell=tell)
    costs = expected_costs(snapshots, targets, routing)
    sides = side_by_side(_some(logged_decisions(table, of)), {name: it for name, it in found.items() if it is not None}, costs, np.random.default_rng(seed))
    _some(sides.logged)
    cost_s = float(np.median(sides.logged.of_chosen(costs(sides.logged))))
    return _Asked(table, sides, tuple(name for name, policy in found.items() if policy is None), cost_s)


def _some(logged: Logged) -> Logged:
    """The decisions, of which there are some. Raises CheckFailed."""
    if not len(logged):
        why = "; ".join(f"{n:,} {reason}" for reason, n in logged.excluded.items()) or "none was drawn plainly"
        raise CheckFailed(f"no decision of service {logged.service!r} can be compared ({why}): give a recording of routers that decide, and of their leader")
    return logged


def _frame(asked: _Asked, name: str, side: Side) -> pd.DataFrame:
    logged, ids = asked.sides.logged, np.array(asked.sides.logged.targets, object)
    rows = asked.table.iloc[logged.source]
    return pd.DataFrame(
        {
            "request_id": rows["request_id"].array, "started_at": rows["started_at"].array, "logged": ids[logged.chosen], "policy": name,
            "target": ids[side.chosen], "propensity": side.propensity, "logged_propensity": side.logged_propensity, "cost_s": side.cost_s,
            "expected_cost_s": side.expected_cost_s,
        }
    )  # fmt: skip


def _summed(sides: Sides, name: str) -> PolicySide:
    side = sides.sides[name]
    return PolicySide(
        policy=name, refused="", agreement={other: sides.agreement(name, other) for other in (LOGGED, *sides.sides) if other != name},
        logged_propensity=float(side.logged_propensity.mean()), cost_s=float(np.median(side.cost_s)),
        shares=dict(zip(sides.logged.targets, sides.shares[name].tolist(), strict=True)),
    )  # fmt: skip


def _refused(name: str) -> PolicySide:
    return PolicySide(policy=name, refused=NOT_LOGGED, agreement={}, logged_propensity=None, cost_s=None, shares={})
