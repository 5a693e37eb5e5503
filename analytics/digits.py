"""How exactly figures are published."""

from __future__ import annotations


def six_digits(value: float) -> float:
    """Six significant digits: what is published, and no more."""
    return float(f"{value:.6g}")
