"""From the table `decisions` of a recording (`routecast.models.tables`) to logged decisions: one row for each request that drew its first target.

Retries, hedges and failover are part of what a first choice brought: they followed the logged policy, and are taken to be the same under
another. Anything that has the columns will do, a pandas DataFrame or a mapping of arrays.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.evaluation.logged import FOLDS, NO_VERSION, Flags, Floats, Ints, Logged
from routecast.models.errors import CheckFailed
from routecast.models.evaluation import Reward

FAILED_S = 30.0
"""What a request without success costs beside the time it took, as everywhere in this project."""
BLOCK_S = 30.0
"""Requests that began in the same half minute may share their luck."""
_LEAST_BLOCKS = 40
"""A short log has shorter ones: the spread of a few blocks says little."""


class Table(Protocol):
    """Columns by name."""

    def __getitem__(self, column: str, /) -> Any:
        """A column."""
        ...


class _Requests(NamedTuple):
    """What became of each request, all its attempts together; seconds from its first start."""

    first_ok_s: Floats
    """NaN where none succeeded."""
    last_end_s: Floats
    cost_usd: Floats
    quality: Floats
    unfinished: Flags
    cancelled: Flags
    caller_fault: Flags

    def rows(self, which: Flags | Ints) -> _Requests:
        """Only these."""
        return _Requests(
            self.first_ok_s[which], self.last_end_s[which], self.cost_usd[which], self.quality[which],
            self.unfinished[which], self.cancelled[which], self.caller_fault[which],
        )  # fmt: skip


def logged_decisions(table: Table, service: str, *, block_s: float = BLOCK_S) -> Logged:
    """The decisions of a service that can be weighted, and what was left out by reason.

    Left out: calls after the first of a request, choices that no router made or that were not the plain draw (`forced`), those whose
    candidates are not known, those of policies that do not draw, faults of the caller's own; and, as decisions whose outcome is unknown,
    what had not ended or was cancelled. Raises CheckFailed where the table has no call of the service.
    """
    whole = _texts(table["service"]) == service
    if not whole.any():
        raise CheckFailed(f"no call of service {service!r} is in the table: it has {sorted(set(_texts(table['service'])))}")
    attempt = np.asarray(table["attempt"])[whole]
    number = _numbered(_texts(table["request_id"])[whole])
    requests = _requests(table, whole, number)
    rows = np.flatnonzero(attempt == 1)
    decided, excluded = _drawn(table, np.flatnonzero(whole)[rows])
    excluded = {"retries and hedges": int((attempt > 1).sum())} | excluded
    rows = rows[decided]
    of = requests.rows(number[rows])
    lost = of.unfinished | of.cancelled
    counts = {"not ended": of.unfinished, "cancelled": of.cancelled & ~of.unfinished, "fault of the caller's own": of.caller_fault & ~lost}
    excluded |= {reason: int(which.sum()) for reason, which in counts.items()}
    kept = ~(lost | of.caller_fault)
    return _logged(
        table, np.flatnonzero(whole)[rows[kept]], of.rows(kept), block_s,
        excluded={reason: n for reason, n in excluded.items() if n}, unknown=int(lost.sum()), service=service,
    )  # fmt: skip


def _drawn(table: Table, rows: Ints) -> tuple[Flags, dict[str, int]]:
    """Which of these calls a router drew plainly, and how many were left out for which reason, the first that holds."""
    propensity, forced = np.asarray(table["propensity"], np.float64)[rows], _texts(table["forced"])[rows]
    allowed = np.asarray(table["allowed"], object)[rows]
    several = np.array([candidates is not None and len(candidates) > 1 for candidates in allowed], bool)
    reasons: dict[str, Flags] = {"no router decided": np.isnan(propensity)}
    reasons |= {f"forced: {reason}": forced == reason for reason in sorted(set(forced) - {"", "plain"})}
    reasons["candidates not known"] = np.array([candidates is None for candidates in allowed], bool)
    reasons["the policy did not draw"] = several & (propensity >= 1.0)
    left, counts = np.ones(len(rows), bool), dict[str, int]()
    for reason, which in reasons.items():
        counts[reason] = int((left & which).sum())
        left &= ~which
    return left, counts


def _requests(table: Table, whole: Flags, number: Ints) -> _Requests:
    at, ended, outcome = (values[whole] for values in (_seconds(table["started_at"]), _seconds(table["ended_at"]), _texts(table["outcome"])))
    n = int(number.max()) + 1
    began = _each(np.fmin, n, number, at)
    ok = outcome == "ok"
    success = _each(np.fmin, n, number, np.where(ok, ended, np.nan))
    cost, quality = (np.asarray(table[name], np.float64)[whole] for name in ("cost_usd", "quality"))
    paid = np.bincount(number, weights=np.nan_to_num(cost), minlength=n)
    billed = np.bincount(number, weights=ok & np.isnan(cost), minlength=n) == 0  # who fails without a price was not paid
    failed = np.isnan(success)
    last = _each(np.fmax, n, number, ended)
    return _Requests(
        first_ok_s=success - began, last_end_s=last - began, cost_usd=np.where(billed, paid, np.nan),
        quality=_each(np.fmax, n, number, np.where(ok, quality, np.nan)), unfinished=failed & _any(n, number, outcome == ""),
        cancelled=failed & _any(n, number, outcome == "cancelled"), caller_fault=failed & _any(n, number, np.asarray(table["caller_fault"], bool)[whole]),
    )  # fmt: skip


def _logged(table: Table, rows: Ints, of: _Requests, block_s: float, *, excluded: dict[str, int], unknown: int, service: str) -> Logged:
    at, outcome = _seconds(table["started_at"])[rows], _texts(table["outcome"])[rows]
    targets, allowed = _sets(np.asarray(table["allowed"], object)[rows])
    column = {target: i for i, target in enumerate(targets)}
    beaten = outcome == "cancelled"  # by a hedge: what it would have brought alone is not known
    rewards: dict[Reward, Floats] = {
        "time_to_success_s": np.where(np.isnan(of.first_ok_s), of.last_end_s + FAILED_S, of.first_ok_s),
        "success_ratio": np.where(np.isnan(of.first_ok_s), 0.0, 1.0),
        "first_success_ratio": np.where(beaten, np.nan, (outcome == "ok").astype(float)),
        "cost_usd": of.cost_usd,
        "quality": of.quality,
    }
    return Logged(
        targets=targets, chosen=np.array([column[target] for target in _texts(table["target"])[rows]], np.int64),
        propensity=np.asarray(table["propensity"], np.float64)[rows], allowed=allowed, rewards=rewards, context=_context(table, rows, at),
        folds=np.array([crc32(name.encode()) % FOLDS for name in _texts(table["request_id"])[rows]], np.int64),
        blocks=_blocks(at, block_s), versions=_versions(table, rows), excluded=excluded, unknown=unknown, service=service, source=rows,
    )  # fmt: skip


def _blocks(at: Floats, block_s: float) -> Ints:
    length_s = min(block_s, float(np.ptp(at)) / _LEAST_BLOCKS if len(at) else 0.0)
    return np.floor((at - at.min(initial=math.inf)) / length_s).astype(np.int64) if length_s > 0 else np.arange(len(at))


def _context(table: Table, rows: Ints, at: Floats) -> Floats:
    """When it was (speeds drift), time of day once there are several days, and the logarithms of the tokens that were asked with and for."""
    day_s = 86_400.0
    daytime = at % day_s if len(at) and float(np.ptp(at)) > 2 * day_s else np.full(len(at), np.nan)
    tokens = [np.log1p(np.asarray(table[name], np.float64)[rows]) for name in ("input_tokens", "max_output_tokens")]
    features = [feature for feature in (at, daytime, *tokens) if np.isfinite(feature).any()]
    return np.stack(features, axis=1) if features else np.empty((len(rows), 0))


def _versions(table: Table, rows: Ints) -> Ints:
    version = np.stack([np.asarray(table[name], np.float64)[rows] for name in ("term", "seq")], axis=1)
    return np.where(np.isnan(version), NO_VERSION, version).astype(np.int64)


def _sets(sets: NDArray[Any]) -> tuple[tuple[str, ...], Flags]:
    """All ids, and [rows × ids] which are in the set of each row."""
    distinct = {candidates: i for i, candidates in enumerate(dict.fromkeys(sets))}
    ids = tuple(sorted({target for candidates in distinct for target in candidates}))
    table = np.array([[target in candidates for target in ids] for candidates in map(frozenset, distinct)], bool).reshape(len(distinct), len(ids))
    return ids, table[np.array([distinct[candidates] for candidates in sets], np.int64)]


def _numbered(names: NDArray[Any]) -> Ints:
    """Equal names have equal numbers, from 0 in the order of their first; no sorting, which takes seconds for a million texts."""
    numbers: dict[str, int] = {}
    return np.fromiter((numbers.setdefault(name, len(numbers)) for name in names.tolist()), np.int64, len(names))


def _each(combine: np.ufunc, n: int, number: Ints, values: Floats) -> Floats:
    """Values of the same number combined; NaN where none is known."""
    combined = np.full(n, math.nan)
    combine.at(combined, number, values)
    return combined


def _any(n: int, number: Ints, which: Flags) -> Flags:
    return np.bincount(number, weights=which, minlength=n) > 0


def _texts(column: Any) -> NDArray[Any]:
    """Texts, empty where missing."""
    values = np.asarray(column, object)
    return np.array([value if isinstance(value, str) else "" for value in values], object)


def _seconds(column: Any) -> Floats:
    """Times as epoch seconds, NaN where missing."""
    times = np.asarray(column, "datetime64[us]")
    seconds: Floats = np.where(np.isnat(times), math.nan, times.astype(np.int64) / 1e6)
    return seconds
