"""The topics: names without the configured prefix (`routecast.` by default), and what each of them must be like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, get_args

Topic = Literal["events", "panes", "trips", "control", "ticks", "scores", "details", "metrics", "insights", "state", "vitals", "deadletter"]

EVENTS: Final = "events"
"""What emitters write; in as many partitions as are configured, and so is `panes`."""
PANES: Final = "panes"
"""Rows of the fold, compacted: the interface between the fold and the leader."""
TRIPS: Final = "trips"
"""What routers say of their breakers."""
CONTROL: Final = "control"
"""What operators say, and what leaders elected, compacted, key = what they speak of; its owner is the leader."""
TICKS: Final = "ticks"
"""Claims of leaders and what went into each snapshot; not compacted."""
SCORES: Final = "scores"
"""Routing snapshots, compacted, key = service."""
DETAILS: Final = "details"
"""All figures, compacted, key = service."""
METRICS: Final = "metrics"
"""Closed windows, a partition for each length, key = subject, window and start; the highest version counts."""
INSIGHTS: Final = "insights"
"""What the figures mean, compacted, key = what is spoken of."""
STATE: Final = "state"
"""Checkpoints of the leader's analytic state and the configuration, compacted."""
VITALS: Final = "vitals"
"""What workers say of themselves."""
DEADLETTER: Final = "deadletter"
"""Bad input with topic, partition, offset and reason."""

ALL: Final[tuple[Topic, ...]] = get_args(Topic)

_MINUTE, _DAY = 60_000, 86_400_000
MOST_EVENT_BYTES: Final = 1_048_588
"""Largest record that brokers take for events: their own default. They store events uncompressed, so that it holds for what workers must unpack."""
MOST_ROW_BYTES: Final = 8 * 1024 * 1024
"""Largest record of everything that workers write: rows of 256 busy targets, details of a large service."""


class TopicSpec(NamedTuple):
    """What a topic must be like."""

    partitioned: bool
    """Whether it has the configured number of partitions."""
    configs: Mapping[str, str]
    partitions: int = 1
    """How many it has otherwise."""


def _kept(ms: int, **more: str) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(ms), "message.timestamp.type": "LogAppendTime"} | more


def _compacted(*, lag_ms: int, **more: str) -> dict[str, str]:
    often = {"segment.ms": str(10 * _MINUTE), "min.cleanable.dirty.ratio": "0.1", "delete.retention.ms": str(60 * _MINUTE)}
    return {"cleanup.policy": "compact", "min.compaction.lag.ms": str(lag_ms), "message.timestamp.type": "LogAppendTime", **often} | more


_LARGE = {"max.message.bytes": str(MOST_ROW_BYTES)}

SPECS: Final[Mapping[Topic, TopicSpec]] = {
    "events": TopicSpec(partitioned=True, configs=_kept(7 * _DAY, **{"max.message.bytes": str(MOST_EVENT_BYTES), "compression.type": "uncompressed"})),
    "panes": TopicSpec(partitioned=True, configs=_compacted(lag_ms=10 * _MINUTE, **_LARGE)),
    "trips": TopicSpec(partitioned=False, configs=_kept(_DAY)),
    "control": TopicSpec(partitioned=False, configs=_compacted(lag_ms=7 * _DAY)),
    "ticks": TopicSpec(partitioned=False, configs=_kept(7 * _DAY)),
    "scores": TopicSpec(partitioned=False, configs=_compacted(lag_ms=_MINUTE, **_LARGE)),
    "details": TopicSpec(partitioned=False, configs=_compacted(lag_ms=_MINUTE, **_LARGE)),
    "metrics": TopicSpec(partitioned=False, configs=_kept(7 * _DAY, **_LARGE), partitions=3),
    "insights": TopicSpec(
        partitioned=False, configs=_compacted(lag_ms=60 * _MINUTE, **_LARGE) | {"cleanup.policy": "compact,delete", "retention.ms": str(30 * _DAY)}
    ),
    "state": TopicSpec(partitioned=False, configs=_compacted(lag_ms=_DAY, **_LARGE)),
    "vitals": TopicSpec(partitioned=False, configs=_kept(_DAY)),
    "deadletter": TopicSpec(partitioned=False, configs=_kept(7 * _DAY, **_LARGE)),
}
