"""Names of the topics, without the configured prefix (`routecast.` by default)."""

from __future__ import annotations

from typing import Final, Literal

Topic = Literal["events", "panes", "trips", "control", "ticks", "scores", "details", "metrics", "insights", "state", "deadletter"]

EVENTS: Final = "events"
"""What emitters write; the only topic with more than one partition beside `panes`, which has as many."""
PANES: Final = "panes"
"""Rows of the fold, compacted: the interface between the fold and the leader."""
CONTROL: Final = "control"
TICKS: Final = "ticks"
"""What went into each snapshot; not compacted."""
SCORES: Final = "scores"
"""Routing snapshots, compacted, key = service."""
DETAILS: Final = "details"
"""All figures, compacted, key = service."""
DEADLETTER: Final = "deadletter"
"""Bad input with topic, partition, offset and reason."""
