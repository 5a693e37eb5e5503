"""A published snapshot as a leader with another configuration would have published it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from routecast.analytics.fleet.cost import Estimates, Weights, expected_cost
from routecast.analytics.fleet.shares import limits_per_s, planned_shares
from routecast.analytics.score import performance_score
from routecast.models.config import Routing, TargetConfig
from routecast.models.rows import TargetTotals
from routecast.models.snapshot import RoutingSnapshot

_NEXT_TO_NOTHING = 1e-9


def reconfigured(snapshot: RoutingSnapshot, targets: Sequence[TargetConfig], routing: Routing) -> RoutingSnapshot:
    """Costs, shares and scores anew under the score weights and the worth of time of `routing`; what was measured stays as published.

    Rate limits are those configured in `targets`; what headers told of them is not in a snapshot. The factors `history` and `real_time` keep
    the weights they were published with.
    """
    by_id = {target.id: target for target in targets}
    known = [by_id.get(entry.id) or TargetConfig(id=entry.id, provider=entry.id, model=entry.id, service=snapshot.service) for entry in snapshot.targets]
    e = Estimates(*(np.array([getattr(entry, field) for entry in snapshot.targets]) for field in ("time_s", "success", "fail_s", "quality", "usd")))
    weights = Weights(routing.score_weights.response_time, routing.score_weights.reliability, routing.score_weights.quality)
    cost_s = expected_cost(e, weights, 1.0 / routing.usd_per_second if routing.usd_per_second > 0 else 0.0)
    limits = limits_per_s(known, [TargetTotals(target=target.id) for target in known], snapshot.input_tokens + snapshot.output_tokens)
    limits = np.where(
        [entry.newcomer for entry in snapshot.targets], np.minimum(limits, max(_NEXT_TO_NOTHING, routing.newcomer_share * snapshot.rate_per_s)), limits
    )
    limits = np.where([entry.state == "drained" for entry in snapshot.targets], _NEXT_TO_NOTHING, limits)
    service_s, capacity = (np.array([getattr(entry, field) for entry in snapshot.targets]) for field in ("service_s", "capacity"))
    shares = planned_shares(snapshot.rate_per_s, cost_s, service_s, capacity, limits)
    scores = performance_score(e.time_s, e.success, e.quality, snapshot.t_ref_s, weights)
    return replace(
        snapshot,
        targets=tuple(
            replace(entry, cost_s=cost, share=share, score=score)
            for entry, cost, share, score in zip(snapshot.targets, cost_s.tolist(), shares.tolist(), scores.tolist(), strict=True)
        ),
    )
