"""How exactly figures are published."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_LEAST: Final = 1e-16
"""Down to here the powers of ten that are multiplied by are exact; further down they end up as no number at all."""


def six_digits(value: float) -> float:
    """Six significant digits: what is published, and no more."""
    return float(f"{value:.6g}")


def significant(values: NDArray[np.float64], digits: int = 6) -> NDArray[np.float64]:
    """Rounded to so many significant digits, the nearest floating point numbers to these decimals.

    NaN stays, and what has faded to less than 1e-16.
    """
    known = np.isfinite(values) & (np.abs(values) >= _LEAST)
    size = np.abs(np.where(known, values, 1.0))
    places = digits - 1 - np.floor(np.log10(size)).astype(np.int64)
    finer, coarser = 10.0 ** np.maximum(places, 0), 10.0 ** np.maximum(-places, 0)
    return np.where(known, np.rint(values * finer / coarser) / finer * coarser, values)


def all_six_digits(values: NDArray[np.float64]) -> list[float]:
    """The same as `six_digits` of each of these from 1e-16 on, in a tenth of the time; smaller ones stay."""
    found: list[float] = significant(values).tolist()
    return found
