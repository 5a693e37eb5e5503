"""Everything that a simulation needs to know of a target, from its attempts: law, work and its spread, failures, limits.

Work is regressed on tokens where enough answers report them: fixed + per input token + per output token, none negative. What remains, time alone
÷ expected time alone, is kept as it was seen, so tails and several speeds of one target need no name. Failures take their mean time and nothing
from the others; the calls that fail are left out of the law, but count as open while they were. Timeouts count as answers of the time they took,
which is too little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.capacity.attempts import FAILED, OK, OTHER, REFUSED, TIMEOUT, Attempts
from routecast.analytics.capacity.law_grid import KINDS, kinds, ln_full, ln_most
from routecast.analytics.capacity.service_fit import Calls, LawFit, Likely
from routecast.analytics.capacity.service_law import Law, TargetFit, Work
from routecast.models.config import TargetConfig

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAST_ANSWERS = 40
"""Answers that a target needs for a fit of its own."""
_MOST_CALLS = 4000
"""Newest calls that a fit looks at."""
_REPORTED = 0.9
_IRLS = 4
_NEVER_FULLER, _OFTEN = 0.2, 400.0
"""With how many calls targets did their most, against the most that were open at once, where too little time was spent above it to see it: in the
logarithm ± 0.2 after 400 answers and more, ± 0.4 after 200. Measured on 100 targets of the draws 0 to 9 of the study."""
_BEYOND = 1.6
"""Whether a bound was seen is asked of bounds up to so many times what was open at once."""
_LITTLE = 0.05
"""What a target counts for whose bound was not seen, where others' were."""
_FACTOR = math.log(2.0)


def fit_target(attempts: Attempts, number: int, config: TargetConfig | None = None) -> TargetFit | None:
    """The fit of target `number`; None where it gave fewer than `LEAST_ANSWERS` answers. Some 0.2 s of computing."""
    mine = attempts.of(number, _MOST_CALLS)
    answered = (mine.end == OK) | (mine.end == TIMEOUT)
    if answered.sum() < LEAST_ANSWERS or mine.duration_ms[answered].max() <= 0:
        return None
    work, likely, relative, seen = _fitted(mine, answered)
    failed, middle = mine.end == FAILED, _most_likely(likely)
    capacity = float(config.capacity) if config is not None and config.capacity else math.inf
    n, weights = int(answered.sum()), _normed(np.exp(likely.ln - likely.ln.max()))
    return TargetFit(
        target=attempts.names[number], law=Law(*likely.laws[middle].tolist()), work=work, spread=np.sort(relative), n=n, seen=seen, laws=likely.laws,
        weights=_normed(weights * _filled(likely.laws, seen, n)), scales=np.exp(likely.ln_work - likely.ln_work[middle]),
        shown=_shown(likely.laws, weights, seen), fail_ratio=_ratio(failed, (mine.end != OTHER) & (mine.end != REFUSED)),
        fail_ms=float(mine.duration_ms[failed].mean()) if failed.any() else 0.0, requests_per_s=_limit(mine, config), capacity=capacity,
    ).under(middle)  # fmt: skip


def _most_likely(likely: Likely) -> int:
    return _middle(ln_most(likely.laws) - likely.ln_work, np.exp(likely.ln - likely.ln.max()))


def _ratio(some: Bools, of: Bools) -> float:
    return float(some.sum() / max(1, of.sum()))


def _fitted(mine: Attempts, answered: Bools) -> tuple[Work, Likely, Floats, int]:
    open_ = mine.end != REFUSED
    start_ms, end_ms, counts = mine.start_ms[open_], (mine.start_ms + mine.duration_ms)[open_], answered[open_]
    tokens = _tokens(mine.input_tokens[open_], mine.output_tokens[open_], counts)
    work_ms = np.maximum((end_ms - start_ms)[counts], 1e-3)
    rough = LawFit(Calls(start_ms, end_ms, _regressed(work_ms, tokens[counts]).of(*tokens.T), counts))
    work = _regressed(rough.work_ms(rough.roughly()), tokens[counts])
    fit = LawFit(Calls(start_ms, end_ms, work.of(*tokens.T), counts))
    likely = fit.fit()
    work_ms = fit.work_ms(Law(*likely.laws[_most_likely(likely)].tolist()))
    work = _regressed(work_ms, tokens[counts])
    return work, likely, work_ms / work.of(*tokens[counts].T), fit.seen


def work_ms(attempts: Attempts, number: int, fit: TargetFit) -> Floats:
    """What every attempt would have taken alone, ms, under the law of target `number`; not a number for other targets' and for refusals."""
    took = np.full(len(attempts.target), math.nan)
    mine = np.flatnonzero((attempts.target == number) & (attempts.end != REFUSED))
    start_ms, end_ms = attempts.start_ms[mine], (attempts.start_ms + attempts.duration_ms)[mine]
    if len(mine):
        took[mine] = LawFit(Calls(start_ms, end_ms, np.ones(len(mine)), np.ones(len(mine), np.bool_))).work_ms(fit.law)
    return took


def _tokens(input_tokens: Floats, output_tokens: Floats, counts: Bools) -> Floats:
    """[calls × 2] tokens; all 0 where too few answers report them, their mean where one does not."""
    columns: list[Floats] = []
    for column in (input_tokens, output_tokens):
        known = np.isfinite(column)
        mean = float(column[known].mean()) if known.any() else 0.0
        columns.append(np.where(known, column, mean) if known[counts].mean() >= _REPORTED else np.zeros(len(column)))
    return np.stack(columns, axis=1)


def _regressed(work_ms: Floats, tokens: Floats) -> Work:
    """Least relative squares without negative parts: of all sets of parts whose solution is positive, the best."""
    columns = [np.ones(len(work_ms)), *tokens.T]
    usable = [i for i, column in enumerate(columns) if column.std() > 0 or i == 0]
    expected = np.full(len(work_ms), work_ms.mean())
    best = np.array([work_ms.mean(), 0.0, 0.0])
    for _ in range(_IRLS):
        least = math.inf
        for size in range(1, len(usable) + 1):
            for chosen in combinations(usable, size):
                design = np.stack([columns[i] for i in chosen], axis=1) / expected[:, None]
                solution, *_ = np.linalg.lstsq(design, work_ms / expected, rcond=None)
                loss = float(((design @ solution - work_ms / expected) ** 2).sum())
                if (solution > 0).all() and loss < least * (1 - 1e-9):
                    least, best = loss, np.zeros(3)
                    best[list(chosen)] = solution
        expected = np.maximum(np.stack(columns, axis=1) @ best, 1e-3 * work_ms.mean())
    fixed, per_input, per_output = best.tolist()
    return Work(max(fixed, 1e-3 * float(work_ms.mean())), per_input, per_output)


def _filled(laws: Floats, seen: int, n: int) -> Floats:
    """How likely it is that a target of these laws was never seen fuller, after so many answers: routing fills what it uses, sooner or later."""
    ln_above = np.maximum(0.0, ln_full(laws) - math.log(seen))
    likely: Floats = np.exp(-0.5 * (ln_above / (_NEVER_FULLER * max(1.0, _OFTEN / n))) ** 2)
    return likely


def _shown(laws: Floats, weights: Floats, seen: int) -> float:
    above = ln_full(laws) - math.log(seen)
    return float(weights[above < 0.0].sum() / weights[above < math.log(_BEYOND)].sum())


def agreed(fits: Sequence[TargetFit]) -> list[TargetFit]:
    """The same fits, each told what the others of its service say: how targets take load, and how much, is seldom a matter of one alone.

    Empirical Bayes. Each kind of law gets as much prior as it has on average, counted with one target of all. What targets can do at most is lognormal
    around the mean of those whose bound was seen; how far they are apart counts with two that are a factor of two from it.
    """
    if not fits:
        return []
    of_kind, most = np.full(KINDS, 1.0 / KINDS), [ln_most(fit.laws) for fit in fits]
    for fit in fits:
        np.add.at(of_kind, kinds(fit.laws), fit.weights)
    told = np.array([_LITTLE + fit.shown for fit in fits])
    means = np.array([float(fit.weights @ ln) for fit, ln in zip(fits, most, strict=True)])
    mean = float(told @ means / told.sum())
    variance = float(told @ (means - mean) ** 2 + 2.0 * _FACTOR**2) / float(told.sum() + 2.0)
    return [_reweighted(fit, of_kind[kinds(fit.laws)] * np.exp(-0.5 * (ln - mean) ** 2 / variance)) for fit, ln in zip(fits, most, strict=True)]


def _normed(weights: Floats) -> Floats:
    normed: Floats = weights / weights.sum()
    return normed


def _reweighted(fit: TargetFit, factors: Floats) -> TargetFit:
    weights = _normed(fit.weights * factors)
    shown = float(weights[ln_full(fit.laws) < math.log(fit.seen)].sum())
    return replace(fit, weights=weights, shown=shown).under(_middle(ln_most(fit.laws) - (0.0 if fit.scales is None else np.log(fit.scales)), weights))


def _middle(values: Floats, weights: Floats) -> int:
    """Where the weighted median stands."""
    order = np.argsort(values, kind="stable")
    place = int(np.searchsorted(np.cumsum(weights[order]), 0.5 * float(weights.sum())))
    return int(order[min(place, len(order) - 1)])


def _limit(mine: Attempts, config: TargetConfig | None) -> float | None:
    if config is None:
        return None
    tokens = np.nan_to_num(mine.input_tokens).mean() + np.nan_to_num(mine.output_tokens).mean()
    per_min = min(config.requests_per_min or math.inf, (config.tokens_per_min or math.inf) / max(1.0, float(tokens)))
    return per_min / 60.0 if per_min < math.inf else None


def drawn(fit: TargetFit, rng: np.random.Generator) -> TargetFit:
    """Another fit that the same events leave possible: a law by its likelihood, the spread by resampling."""
    again = fit.under(int(rng.choice(len(fit.weights), p=fit.weights)))
    return replace(again, spread=np.sort(rng.choice(fit.spread, len(fit.spread))))
