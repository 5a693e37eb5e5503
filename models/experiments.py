"""An experiment as operators start it and snapshots carry it: arms, shares, unit of assignment, guard rails."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

from routecast.models.config import Policy
from routecast.models.wire import Label

Unit = Literal["request", "session", "block"]
"""What is assigned to an arm as a whole: a request, all requests of a session, or everything during a block of time (switchback)."""
Measure = Literal["latency", "success", "quality", "cost"]
"""What arms are compared in: time per answer, normalised by its length; share of successes; quality of the answers; cost of a request."""
Rail = Literal["errors", "latency", "slow", "cost"]
"""What guard rails watch."""

MOST_ARMS = 8
LONGEST_DAYS = 28.0
_LEAST_BLOCK_MS, _MOST_BLOCK_MS = 10_000.0, 864e5

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
"""Of experiments and arms: lower-case letters, digits, `_`, `.`, `-`."""


class Arm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way of routing. What it leaves open is as outside the experiment."""

    name: Name
    share: Annotated[float, msgspec.Meta(gt=0, le=1)]
    """Of the units."""
    policy: Label = ""
    """A policy of the configuration; a name that only a newer version knows is none."""
    targets: tuple[Label, ...] = ()
    """It has these alone, whatever is configured later; empty: all."""
    weights: dict[str, Annotated[float, msgspec.Meta(ge=0, le=1000)]] = {}
    """By target, in place of the configured ones; 0 keeps the arm away from it."""
    stopped: bool = False
    """A guard rail stopped it: its units are served as outside the experiment and do not count."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Arms of one service, the first of them the control."""

    name: Name
    salt: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}$")]
    """Makes assignments independent of those of every other experiment."""
    service: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    arms: Annotated[tuple[Arm, ...], msgspec.Meta(min_length=2, max_length=MOST_ARMS)]
    unit: Unit = "request"
    shadow: bool = False
    """True: the control serves everything, the other arms only decide, and both decisions are logged."""
    measure: Measure = "latency"
    """What the verdict is about; the other measures are shown beside it."""
    starts_ms: Annotated[float, msgspec.Meta(ge=0, le=1e14)]
    ends_ms: Annotated[float, msgspec.Meta(ge=0, le=1e14)]
    """When it is over by itself, epoch ms, at most 28 days later."""
    block_ms: Annotated[float, msgspec.Meta(ge=_LEAST_BLOCK_MS, le=_MOST_BLOCK_MS)] = 600_000.0
    """Length of a block of time; with sessions, of the stretches whose means count as one observation."""
    washout_ms: Annotated[float, msgspec.Meta(ge=0, le=_MOST_BLOCK_MS)] = 0.0
    """At the beginning of a block its requests are served by its arm and do not count: those of the block before are still under way."""
    planned: Annotated[int, msgspec.Meta(ge=10, le=1_000_000_000)] = 10_000
    """Units at which intervals are to be tightest."""
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=0.5)] = 0.05
    """Chance of a false verdict, however often somebody looks."""
    rails: dict[Rail, Annotated[float, msgspec.Meta(ge=0, le=100)]] = {}
    """Largest harm beside the control that is put up with. `errors` and `slow`: difference of shares; `latency`, `cost`: relative."""
    slow_ms: Annotated[float, msgspec.Meta(gt=0, le=864e5)] = 3_000.0
    """An answer that takes longer is slow."""

    @property
    def id(self) -> str:
        """Name and salt: unique, also where a name comes again."""
        return f"{self.name}.{self.salt}"

    @property
    def fault(self) -> str:
        """What is wrong with it beyond what the fields can say, and what to do; empty: nothing."""
        names, policies = [arm.name for arm in self.arms], ["", *get_args(Policy)]
        unknown = [arm.policy for arm in self.arms if arm.policy not in policies]
        faults = {
            f"arms {names} must have different names": len(set(names)) < len(names),
            f"no policy {unknown[0] if unknown else ''!r}: choose one of {', '.join(policies[1:])}": bool(unknown),
            f"shares of the arms must add up to 1, not {sum(arm.share for arm in self.arms):.6g}": abs(sum(arm.share for arm in self.arms) - 1.0) > 1e-6,
            f"it must end after its start, within {LONGEST_DAYS:.0f} days": not 0 < self.ends_ms - self.starts_ms <= LONGEST_DAYS * 864e5,
            "the washout must be shorter than a block": self.unit == "block" and self.washout_ms >= self.block_ms,
            "shadow decisions are made request by request, by one arm beside the control": self.shadow and (self.unit != "request" or len(names) != 2),
        }
        return next((fault for fault, found in faults.items() if found), "")

    def label(self, arm: str) -> str:
        """What events of this arm carry."""
        return f"{self.id}/{arm}"
