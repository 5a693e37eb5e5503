"""Expected tokens of a request of one service: what an average answer costs and how long it takes hang on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from routecast.analytics.pane import MILLION
from routecast.models.rows import TargetTotals

_TAU_S = 300.0


class ExpectedTokens:
    """Geometric mean of output tokens and mean of input tokens, decayed over 300 s; 0 while unknown."""

    STATE: ClassVar[tuple[str, ...]] = ("_output_n", "_ln_output", "_input_n", "_input")

    def __init__(self) -> None:
        self._output_n = self._ln_output = self._input_n = self._input = 0.0

    def update(self, elapsed_s: float, new: Sequence[TargetTotals]) -> None:
        """Take what is new of every target since `elapsed_s` ago."""
        decay = math.exp(-elapsed_s / _TAU_S)
        self._output_n = self._output_n * decay + sum(item.output_n for item in new)
        self._ln_output = self._ln_output * decay + sum(item.ln_output_sum for item in new) / MILLION
        self._input_n = self._input_n * decay + sum(item.input_n for item in new)
        self._input = self._input * decay + sum(item.input_tokens for item in new)

    @property
    def output(self) -> float:
        """Expected output tokens."""
        return math.exp(self._ln_output / self._output_n) if self._output_n > 0 else 0.0

    @property
    def input(self) -> float:
        """Expected input tokens."""
        return self._input / self._input_n if self._input_n > 0 else 0.0
