"""How long an attempt may take, and how long until a second one beside it is worth its tokens.

All of it from the published quantiles: time to first chunk plus tokens times the time per output token, the two at the same probability.
"""

from __future__ import annotations

from collections.abc import Sequence

from routecast.models.snapshot import QUANTILES, State, TargetScore

_TYPICAL, _SLOW = 7, 15
"""Positions among the sixteen quantiles: 47 % and 97 %."""
_SLOW_FACTOR = 4.0
"""Slow ÷ mean where nothing was measured yet."""
_HEDGE_AT = 0.95
_SERVES: frozenset[State] = frozenset({"ok", "degraded", "recovering", "unknown"})


def attempt_ms(left_ms: float, chosen: TargetScore, others: Sequence[TargetScore], output_tokens: float, part: float = 0.5) -> float:
    """How much of the time that is left an attempt at `chosen` may take, so that one at the best of `others` can follow.

    Time for a slow answer of each is set aside; of what is spare beyond it gets `part`, half, since one attempt in thirty is slower than
    slow, and the one that follows may go to another target than the best. All the time where no other is left, or where the chosen target would then be
    cut off before it is slow.
    """
    slow_ms = response_ms(chosen, _SLOW, output_tokens)
    following = min(others, key=lambda entry: entry.cost_s, default=None)
    if following is None or slow_ms + response_ms(following, _TYPICAL, output_tokens) > left_ms:
        return left_ms
    return slow_ms + part * max(0.0, left_ms - slow_ms - response_ms(following, _SLOW, output_tokens))


def response_ms(entry: TargetScore, position: int, output_tokens: float) -> float:
    """The response time at one of the sixteen published probabilities, ms; from the mean where there is no evidence."""
    if not entry.ttft_ms:
        return entry.time_s * 1000.0 * (1.0 if position < _SLOW else _SLOW_FACTOR)
    per_token_ms = entry.tpot_ms[position] if entry.tpot_ms else 0.0
    return entry.ttft_ms[position] + max(0.0, output_tokens - 1.0) * per_token_ms


def slow_answer_ms(entry: TargetScore, output_tokens: float) -> float:
    """The response time that 97 % of the answers keep to, ms; 0 without evidence."""
    return response_ms(entry, _SLOW, output_tokens) if entry.ttft_ms else 0.0


def least_ms(entries: Sequence[TargetScore], output_tokens: float, whole_ms: float) -> float:
    """The time a request must have left to be worth starting at the best of these targets, of `whole_ms` in all.

    A slow answer should fit; where the caller gave little time, half of it is enough, but not less than what is typical.
    """
    measured = [entry for entry in entries if entry.ttft_ms]
    slow_ms = min((response_ms(entry, _SLOW, output_tokens) for entry in measured), default=0.0)
    typical_ms = min((response_ms(entry, _TYPICAL, output_tokens) for entry in measured), default=0.0)
    return min(slow_ms, max(typical_ms, 0.5 * whole_ms))


def hedge_after_ms(entry: TargetScore) -> float | None:
    """The time by which the first chunk should be here, with 95 % probability; None without evidence."""
    if not entry.ttft_ms:
        return None
    below = max(i for i, probability in enumerate(QUANTILES) if probability <= _HEDGE_AT)
    part = (_HEDGE_AT - QUANTILES[below]) / (QUANTILES[below + 1] - QUANTILES[below])
    return entry.ttft_ms[below] + part * (entry.ttft_ms[below + 1] - entry.ttft_ms[below])


def serves(entry: TargetScore) -> bool:
    """Whether a target is there at all; one that its rate limit holds back is not, at the moment."""
    return entry.state in _SERVES and entry.headroom > 0 and entry.ramp > 0


def limited(entry: TargetScore) -> bool:
    """Whether only its rate limit keeps a target from serving: it will be back."""
    return entry.state == "rate_limited" or (entry.state in _SERVES and entry.headroom <= 0)
