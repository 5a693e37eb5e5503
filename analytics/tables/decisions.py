"""Columns of the table `decisions` from attempts: arrays, a batch at a time. Columns, types and units: `routecast.models.tables`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import numpy as np

from routecast.analytics.tables.columns import Cells, Codes, numbers, objects, times
from routecast.analytics.tables.pairing import Attempts
from routecast.models.config import TargetConfig
from routecast.models.decision_ref import ShadowRef
from routecast.models.events import CALLER_FAULTS
from routecast.models.tables import DECISIONS

Order = Callable[[tuple[int, int], str], Sequence[str]]
"""(term, seq) of a snapshot and a service → the targets of the service in the order of that snapshot; empty where it is not known."""

_END_NUMBERS: Final = {
    "output_tokens": ("output_tokens", 1.0), "http_status": ("http_status", 1.0), "duration_s": ("duration_ms", 1e3), "ttft_s": ("ttft_ms", 1e3),
    "cost_usd": ("cost_usd", 1.0), "quality": ("quality", 1.0), "satisfaction": ("satisfaction", 1.0),
}  # fmt: skip
_NO_SHADOW: Final = ShadowRef(arm="", target="", propensity=math.nan)
_REMEMBERED: Final = 10_000
"""Pairs of a snapshot and a mask; most come close together."""
_CONFIGURED: Final = ("provider", "model", "region")


class DecisionColumns:
    """Makes batches of columns. Memory: the names that occur, and each set of allowed targets once.

    Args:
        targets: the configured ones, for what events leave out.
        order: of the targets of a service in a snapshot.
    """

    def __init__(self, targets: Mapping[str, TargetConfig], order: Order) -> None:
        self._targets = targets
        self._order = order
        self._allowed: dict[tuple[tuple[int, int], str, str], tuple[str, ...]] = {}
        self._sets: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.codes = {column.name: Codes() for column in DECISIONS if column.kind == "category"}
        """The categories of each column, by name; what a batch holds are their numbers."""

    def batch(self, attempts: Attempts) -> dict[str, Cells]:
        """The columns of these attempts, in the order of the table."""
        labels, (starts, ends, decisions) = self._labels(attempts), attempts
        began_ms = [start.at_ms if start.target else end.started_at_ms for start, end in zip(starts, ends, strict=True)]
        cells: dict[str, Cells] = {name: self.codes[name].of(values) for name, values in labels.items()}
        cells |= {name: numbers(ends, field, by) for name, (field, by) in _END_NUMBERS.items()}
        expected, counted = numbers(starts, "input_tokens"), numbers(ends, "input_tokens")
        cells |= {
            "request_id": [start.request_id or end.request_id for start, end in zip(starts, ends, strict=True)],
            "attempt": np.array([(start if start.target else end).attempt for start, end in zip(starts, ends, strict=True)], np.int64),
            "started_at": times(began_ms),
            "ended_at": times([end.at_ms for end in ends]),
            "term": np.array([decision.snapshot[0] for decision in decisions], float),
            "seq": np.array([decision.snapshot[1] for decision in decisions], float),
            "propensity": numbers(decisions, "propensity"),
            "shadow_propensity": numbers([decision.shadow or _NO_SHADOW for decision in decisions], "propensity"),
            "allowed": objects(self._allowed_sets(attempts, labels["service"], labels["target"])),
            "hedge": np.array([decision.hedge for decision in decisions], np.bool_),
            "deadline_s": numbers(starts, "deadline_ms", 1e3),
            "max_output_tokens": numbers(starts, "max_output_tokens"),
            "input_tokens": np.where(np.isnan(counted), expected, counted),
            "caller_fault": np.array([end.error_type in CALLER_FAULTS for end in ends], np.bool_),
        }
        return {column.name: cells[column.name] for column in DECISIONS}

    def _labels(self, attempts: Attempts) -> dict[str, list[str | None]]:
        starts, ends, decisions = attempts
        target = [start.target or end.target for start, end in zip(starts, ends, strict=True)]
        said = {name: _either(starts, ends, name) for name in ("service", "caller_region", "emitter", *_CONFIGURED)}
        said |= {name: self._configured(name, values, target) for name, values in said.items() if name in {"service", *_CONFIGURED}}
        return {
            **said, "target": list(target),
            "policy": [decision.policy for decision in decisions],
            "candidates": [decision.candidates for decision in decisions],
            "forced": ["plain" if decision.forced == "" else decision.forced for decision in decisions],
            "arm": [decision.arm for decision in decisions],
            "shadow_arm": [decision.shadow.arm if decision.shadow else None for decision in decisions],
            "shadow_target": [decision.shadow.target if decision.shadow else None for decision in decisions],
            "urgency": [start.urgency for start in starts],
            "outcome": [end.outcome for end in ends],
            "error_type": [end.error_type for end in ends],
        }  # fmt: skip

    def _configured(self, name: str, values: Iterable[str | None], targets: Sequence[str]) -> list[str | None]:
        known: dict[str, str | None] = {target: getattr(config, name) for target, config in self._targets.items()}
        return [value or known.get(one) for value, one in zip(values, targets, strict=True)]

    def _allowed_sets(self, attempts: Attempts, service: Sequence[str | None], target: Sequence[str | None]) -> list[tuple[str, ...] | None]:
        found: list[tuple[str, ...] | None] = []
        for decision, name, chosen in zip(attempts.decisions, service, target, strict=True):
            key = (decision.snapshot, decision.candidates, name or "")
            allowed = self._allowed.get(key)
            if allowed is None:
                if len(self._allowed) >= _REMEMBERED:
                    self._allowed.clear()
                allowed = self._allowed[key] = self._decoded(*key)
            found.append(allowed if chosen in allowed else None)
        return found

    def _decoded(self, snapshot: tuple[int, int], candidates: str | None, service: str) -> tuple[str, ...]:
        """The ids behind a mask; none where a bit has no known target, as one that was chosen wrongly would mislead."""
        order = self._order(snapshot, service) if candidates else ()
        mask = _mask(candidates or "")
        if mask.bit_length() > len(order):
            return ()
        allowed = tuple(target for bit, target in enumerate(order) if mask >> bit & 1)
        return self._sets.setdefault(allowed, allowed)


def _either(starts: Sequence[Any], ends: Sequence[Any], name: str) -> list[str | None]:
    field = attrgetter(name)
    return [at_start or at_end for at_start, at_end in zip(map(field, starts), map(field, ends), strict=True)]


def _mask(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0
