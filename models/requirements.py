"""What a caller asks of one request."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

DEADLINE_STEPS = 64
_SHORTEST_MS, _LONGEST_MS = 10.0, 600_000.0
_STEP = math.log(_LONGEST_MS / _SHORTEST_MS) / (DEADLINE_STEPS - 1)

Ratio = Annotated[float, Field(ge=0, le=1)]


class Requirements(BaseModel):
    """Per-request requirements; everything is optional.

    Ids in `preferred` and `excluded` match a target first, then a provider. Where nothing qualifies the least bad target is used and
    the decision says so, unless `strict` asks for `NoTarget` instead. Build one object for each class of request and keep it: the
    filtered candidates are cached by its value.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    max_response_time_ms: float | None = Field(
        default=None, gt=0, le=600_000, description="whole answer within this many milliseconds, with 95 % (urgent: 99 %) probability"
    )
    quality_threshold: Ratio | None = Field(default=None, description="least quality, 0..1")
    reliability: Ratio | None = Field(default=None, description="least success ratio, 0..1")
    preferred: tuple[str, ...] = Field(default=(), description="targets or providers to draw from while they cost at most 1.5 times the best other")
    excluded: tuple[str, ...] = Field(default=(), description="targets or providers never to use")
    region: str | None = Field(default=None, description="only targets of this region")
    caller_region: str | None = Field(default=None, description="where the caller is")
    urgency: Literal["low", "medium", "high"] = Field(default="medium", description="high: no exploration, 99 % on time; low: price counts double")
    max_cost_usd: float | None = Field(default=None, ge=0, description="most an average answer may cost, USD")
    complexity: Ratio | None = Field(default=None, description="complexity of the context, 0..1: scales the expected tokens")
    strict: bool = Field(default=False, description="raise NoTarget where nothing qualifies")

    @cached_property
    def key(self) -> str:
        """What tells this class of requests from others; the deadline is rounded down on a logarithmic grid."""
        deadline = _deadline_step(self.deadline_ms)
        return f"{deadline} {self.model_copy(update={'max_response_time_ms': None})!r}"

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Pydantic's, of a class of requests of its own: a key that was found already is not carried over."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("key", None)
        return copied

    @property
    def deadline_ms(self) -> float | None:
        """The response time asked for, in ms; a complex context (> 0.8) without a figure asks 15 s, a lesser one 5 s."""
        if self.max_response_time_ms is not None or self.complexity is None:
            return self.max_response_time_ms
        return 15_000.0 if self.complexity > 0.8 else 5_000.0

    @property
    def least_quality(self) -> float | None:
        """The quality asked for; a complex context (> 0.6) without a figure asks 0.9, a lesser one 0.8."""
        if self.quality_threshold is not None or self.complexity is None:
            return self.quality_threshold
        return 0.9 if self.complexity > 0.6 else 0.8

    @property
    def rounded_deadline_ms(self) -> float | None:
        """`deadline_ms` rounded down on the grid."""
        step = _deadline_step(self.deadline_ms)
        return None if step is None else _SHORTEST_MS * math.exp(step * _STEP)


def _deadline_step(deadline_ms: float | None) -> int | None:
    if deadline_ms is None:
        return None
    return min(DEADLINE_STEPS - 1, max(0, math.floor(math.log(deadline_ms / _SHORTEST_MS) / _STEP + 1e-9)))


NONE = Requirements()
"""The class of requests that ask for nothing."""
