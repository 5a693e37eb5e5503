"""What people are told about the topics on the brokers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class Difference(_Frozen):
    """Something about a topic that is not as it must be."""

    what: str
    mend: str
    """A command, or a sentence where no single command does it."""


class Shape(_Frozen):
    """What a topic is made with."""

    topic: str
    """Short name, without the prefix."""
    name: str
    """Name on the brokers."""
    partitions: NonNegativeInt
    replication: NonNegativeInt
    settings: Mapping[str, str]


class TopicState(Shape):
    """A topic as it is on the brokers; one that does not exist has no partitions. `settings` are those that matter."""

    records: NonNegativeInt | None = None
    """Offsets between beginning and end, all partitions together; of a compacted topic fewer are left. None where it was not asked for."""
    differences: tuple[Difference, ...] = ()

    @property
    def exists(self) -> bool:
        """Whether it is there."""
        return self.partitions > 0


class TopicStates(_Frozen):
    """All topics, in the order of the data."""

    bootstrap: str
    topics: tuple[TopicState, ...]


class TopicsMade(_Frozen):
    """What `topics create` made, or would make."""

    bootstrap: str
    dry_run: bool
    made: tuple[Shape, ...]
