"""What the recorded decisions themselves say of policies, without a simulation: off-policy evaluation from logged propensities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from routecast.analytics.evaluation.decisions import logged_decisions
from routecast.analytics.evaluation.estimators import on_policy
from routecast.analytics.evaluation.evaluate import evaluate
from routecast.analytics.evaluation.logged import Logged
from routecast.analytics.evaluation.named import NOT_LOGGED, policy_named
from routecast.analytics.evaluation.policies import TargetPolicy
from routecast.analytics.evaluation.reconfigured import reconfigured
from routecast.analytics.evaluation.uncertainty import by_influence
from routecast.backtest.fleet import Candidate
from routecast.models.backtest import OffPolicy
from routecast.models.errors import CheckFailed
from routecast.models.evaluation import Evaluation, Method
from routecast.models.report import Estimate
from routecast.streams.recordings.decisions import Snapshots, Told, recorded_snapshots
from routecast.streams.recordings.recording import Recording

_WORDS: Mapping[Method, str] = {"doubly_robust": "doubly robust", "self_normalised": "self-normalised", "inverse_propensity": "inverse propensity"}


def off_policy(path: Path, service: str, candidates: Sequence[Candidate], configuration: str, recorded: str, tell: Told) -> tuple[OffPolicy, ...]:
    """One row for each candidate and estimator, or one with the reason why there is none.

    Args:
        path: the recording.
        service: whose decisions.
        candidates: the policies.
        configuration: version of the recorded one; another makes other snapshots of what was measured.
        recorded: the policy that decided.
        tell: progress.
    """
    from routecast.frames import load_decisions  # noqa: PLC0415 - pandas is slow to import, and not in every environment

    try:
        logged = logged_decisions(load_decisions(path), service)
    except CheckFailed as error:
        return tuple(_refused(candidate.name, str(error)) for candidate in candidates)
    with Recording(path) as recording:
        snapshots = recorded_snapshots(recording, tell).get(service, {})
    return tuple(row for candidate in candidates for row in _rows(candidate, logged, snapshots, service, configuration, recorded))


def _rows(candidate: Candidate, logged: Logged, snapshots: Snapshots, service: str, configuration: str, recorded: str) -> tuple[OffPolicy, ...]:
    if (candidate.policy or candidate.config.routing_for(service).policy) == recorded and candidate.config.version == configuration:
        return _as_logged(candidate.name, logged)
    policy = _policy(candidate, snapshots, service, configuration)
    if policy is None:
        return (_refused(candidate.name, NOT_LOGGED),)
    evaluation = evaluate(logged, candidate.name, policy)
    found = evaluation.of("time_to_success_s")
    if found is None:
        return (_refused(candidate.name, evaluation.refused or evaluation.left_out.get("time_to_success_s", "no request tells")),)
    values: dict[Method, Estimate] = {found.method: found.value, **found.others}
    return tuple(_row(candidate.name, _WORDS.get(method, method), value, evaluation) for method, value in values.items())


def _as_logged(name: str, logged: Logged) -> tuple[OffPolicy, ...]:
    """Of the policy that decided: what became of its requests, each weighing one."""
    times = logged.rewards["time_to_success_s"]
    known = logged.rows(np.isfinite(times))
    value = by_influence(on_policy(known.rewards["time_to_success_s"]), known.blocks)
    return (OffPolicy(name=name, method="as logged", value_ms=_ms(value), effective_n=float(len(known)), refused=""),)


def _policy(candidate: Candidate, snapshots: Snapshots, service: str, configuration: str) -> TargetPolicy | None:
    """The candidate's choices as probabilities; None where they do not follow from the log."""
    config, routing, targets = candidate.config, candidate.config.routing_for(service), candidate.config.targets_of(service)
    if config.version != configuration:
        snapshots = {version: reconfigured(snapshot, targets, routing) for version, snapshot in snapshots.items()}
    return policy_named(candidate.policy or routing.policy, snapshots, targets, routing)


def _row(name: str, method: str, value: Estimate, evaluation: Evaluation) -> OffPolicy:
    return OffPolicy(name=name, method=method, value_ms=_ms(value), effective_n=evaluation.support.effective if evaluation.support else None, refused="")


def _ms(value: Estimate) -> Estimate:
    return Estimate(value=value.value * 1000.0, low=value.low * 1000.0, high=value.high * 1000.0)


def _refused(name: str, reason: str) -> OffPolicy:
    return OffPolicy(name=name, method="", value_ms=None, effective_n=None, refused=reason)
