"""What is published of an episode."""

from __future__ import annotations

from collections.abc import Callable

from routecast.analytics.changes.episodes import Episode
from routecast.analytics.digits import six_digits as _r
from routecast.models.insights import LESS_IS_BETTER, Change, Metric, Subject


def change_of(metric: Metric, subject: Subject, episode: Episode, shown: Callable[[float], float], born_ms: float) -> Change:
    """The record of an episode; `shown` is the value of a level in the unit of the metric, `born_ms` when whoever found it began."""
    before, after = shown(episode.before), shown(episode.after)
    return Change(
        id=f"{metric}:{subject.id}:{int(born_ms // 1000):x}.{episode.number}", version=episode.version, subject=subject, metric=metric,
        worse=metric != "throughput" and (after > before) == (metric in LESS_IS_BETTER), since_ms=episode.since_ms, detected_ms=episode.detected_ms,
        before=_r(before), after=_r(after), statistic=_r(episode.statistic), threshold=episode.bound, n=episode.n, ended_ms=episode.ended_ms,
        ended_by=episode.ended_by,
    )  # fmt: skip
