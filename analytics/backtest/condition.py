"""Conditions that make a backtest fail: `[POLICY:]METRIC OPERATOR NUMBER`, as in `p95_ms>2000` or `round_robin:failed_ratio >= 0.01`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from routecast.models.backtest import METRICS, Check, Figures
from routecast.models.errors import ConfigError

_OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_FORM: Final = re.compile(r"\s*(?:(?P<policy>[^\s:<>=!]+)\s*:)?\s*(?P<metric>\w+)\s*(?P<operator>>=|<=|==|!=|>|<)\s*(?P<number>[-+]?[\d.]+(?:e[-+]?\d+)?)\s*")


_HEADS: Final[Mapping[str, str]] = {"failed": "failed_ratio", "refused": "rate_limited_ratio", "cost": "usd_per_request", "regret": "regret_ms"}
"""As tables call some of them."""


class Condition(NamedTuple):
    """One condition; `holds` tells whether the backtest fails."""

    text: str
    policy: str
    metric: str
    operator: str
    number: float

    def of(self, figures: Figures) -> Check:
        """The condition on the figures of its policy. A figure that nothing tells fails no backtest, and says so by its absence."""
        found = getattr(figures, self.metric)
        failed = found is not None and _OPERATORS[self.operator](found.value, self.number)
        return Check(expression=self.text, policy=self.policy, value=None if found is None else found.value, failed=failed)


def condition(text: str, policies: Sequence[str]) -> Condition:
    """What the text says; without a policy it is about the first one. Raises ConfigError naming what there is."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r} is no condition: write METRIC OPERATOR NUMBER, such as 'p95_ms>2000', with one of {' '.join(_OPERATORS)}")
    metric, policy = _HEADS.get(found["metric"], found["metric"]), found["policy"] or policies[0]
    if metric not in METRICS:
        raise ConfigError(f"{text!r}: there is no metric {metric!r}; there are {', '.join(METRICS)}")
    if policy not in policies:
        raise ConfigError(f"{text!r}: there is no policy {policy!r} in this backtest; there are {', '.join(policies)}")
    try:
        number = float(found["number"])
    except ValueError:
        raise ConfigError(f"{text!r}: {found['number']!r} is no number") from None
    return Condition(text, policy, metric, found["operator"], number)
