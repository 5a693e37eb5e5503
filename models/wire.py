"""Types of the fields that cross a wire, with the bounds that every reader may rely on."""

from __future__ import annotations

from typing import Annotated

import msgspec

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Label = Annotated[str, msgspec.Meta(max_length=256)]
EpochMs = Annotated[float, msgspec.Meta(ge=0, le=1e14)]
DurationMs = Annotated[float, msgspec.Meta(ge=0, le=864e5)]
Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]
Propensity = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
Usd = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
