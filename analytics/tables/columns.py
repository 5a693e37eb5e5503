"""Columns of tables as arrays, from the fields of many structs at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Cells: TypeAlias = NDArray[Any] | list[str]
"""A column of a batch: texts as a list, numbers of categories, everything else as it is."""

_NAT = np.iinfo(np.int64).min


class Codes:
    """Numbers of the texts of a column; nothing (None or an empty text) is −1. New texts are numbered in their order, batch by batch."""

    def __init__(self) -> None:
        self._numbers: dict[str | None, int] = {None: -1, "": -1}
        self.names: list[str] = []
        """The texts, by number."""

    def of(self, values: Sequence[str | None]) -> NDArray[np.int32]:
        """The numbers of these texts."""
        for name in sorted(name for name in set(values) - self._numbers.keys() if name):
            self._numbers[name] = len(self.names)
            self.names.append(name)
        return np.fromiter(map(self._numbers.__getitem__, values), np.int32, len(values))


def numbers(structs: Iterable[object], field: str, by: float = 1.0) -> NDArray[np.float64]:
    """A field of each, divided by `by`; None becomes NaN."""
    found = np.array(list(map(attrgetter(field), structs)), np.float64)
    return found if by == 1.0 else found / by


def times(at_ms: Iterable[float]) -> NDArray[np.datetime64]:
    """Epoch milliseconds as times, to the microsecond; NaN becomes NaT."""
    us = np.array(list(at_ms), np.float64) * 1000.0
    known = np.isfinite(us)
    return np.where(known, np.rint(np.where(known, us, 0.0)).astype(np.int64), _NAT).view("datetime64[us]")


def objects(values: Sequence[Any]) -> NDArray[np.object_]:
    """One cell each, whatever they are."""
    return np.fromiter(values, np.object_, len(values))
