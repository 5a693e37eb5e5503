"""How a router came to a target, as logged with the request: what off-policy evaluation and experiments need."""

from __future__ import annotations

from typing import Annotated

import msgspec

from routecast.models.wire import Label, Propensity, Text


class ShadowRef(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an arm that only decides would have done."""

    arm: Text
    target: Text
    propensity: Propensity
    """Probability with which it drew that target."""


class CallRef(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What feedback needs to know of a call."""

    request_id: str
    target: str
    completed_at_ms: float
    arm: str = ""
    """Of the experiment that the request was part of, where this was its first call."""


class DecisionRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One decision."""

    policy: Text
    snapshot: tuple[int, int]
    """(term, seq) of the snapshot that was read; (0, 0) before the first."""
    propensity: Propensity
    candidates: Annotated[str, msgspec.Meta(max_length=4096)] = "0"
    """Bit mask of the allowed targets in snapshot order, hexadecimal."""
    forced: Label = ""
    """Why the draw was not the plain one (`urgent`, `preferred`, `fallback`, `single`); empty otherwise."""
    hedge: bool = False
    arm: Label = ""
    """`EXPERIMENT.SALT/ARM` where an experiment assigned the request; empty otherwise."""
    shadow: ShadowRef | None = None
    """What another arm would have done that only decides."""
