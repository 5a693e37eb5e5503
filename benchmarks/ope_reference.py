"""What the Open Bandit Pipeline says of a small log: the values that tests/analytics/evaluation/test_reference.py compares with.

Run it where `obp` is installed, which wants older libraries than this project: `python3.9 -m venv V && V/bin/pip install obp==0.3.3 &&
V/bin/python benchmarks/ope_reference.py`. Needs nothing of routecast.

Source: Y. Saito, S. Aihara, M. Matsutani, Y. Narita, "Open Bandit Dataset and Pipeline", 2021.
"""

from __future__ import annotations

from typing import Any, Dict  # noqa: UP035 - read by old interpreters

import numpy as np

ROWS, ACTIONS = 60, 4


def inputs() -> Dict[str, Any]:  # noqa: UP006
    """A log from plain arithmetic, the same with every version of every library."""
    i, a = np.arange(ROWS), np.arange(ACTIONS)
    logged = 1.0 + (i[:, None] * 7 + a * 5) % 11
    logged = logged / logged.sum(axis=1, keepdims=True)
    policy = 0.5 + (i[:, None] * 3 + a * 8) % 13
    policy = policy / policy.sum(axis=1, keepdims=True)
    action = (i * i + 3 * i) % ACTIONS
    best = np.zeros((ROWS, ACTIONS))
    best[i, (i // 2) % ACTIONS] = 1.0
    return {
        "action": action,
        "pscore": logged[i, action],
        "reward": 0.1 + ((i * 37) % 101) / 50.0 + action * 0.3,
        "policy": policy,
        "best": best,
        "predicted": 0.5 + a * 0.25 + ((i * 17) % 29)[:, None] / 40.0,
    }


def main() -> None:
    """Print the values of each estimator."""
    from obp.ope import (  # type: ignore[import-not-found] # noqa: PLC0415 - absent where the inputs are used
        DoublyRobust,
        InverseProbabilityWeighting,
        ReplayMethod,
        SelfNormalizedInverseProbabilityWeighting,
    )

    log = inputs()
    common = {"reward": log["reward"], "action": log["action"], "pscore": log["pscore"], "position": np.zeros(ROWS, int)}
    policy, best = log["policy"][:, :, None], log["best"][:, :, None]
    print("inverse_propensity", repr(float(InverseProbabilityWeighting().estimate_policy_value(action_dist=policy, **common))))
    print("self_normalised", repr(float(SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(action_dist=policy, **common))))
    predicted = log["predicted"][:, :, None]
    print("doubly_robust", repr(float(DoublyRobust().estimate_policy_value(action_dist=policy, estimated_rewards_by_reg_model=predicted, **common))))
    print("matching_rows", repr(float(ReplayMethod().estimate_policy_value(action_dist=best, **common))))


if __name__ == "__main__":
    main()
