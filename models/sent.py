"""What people are told about records that were appended for them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt


class Appended(BaseModel):
    """One record on the log."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    topic: str
    """Name on the brokers."""
    partition: NonNegativeInt
    offset: NonNegativeInt
    events: NonNegativeInt
    """How many events it holds; 0 where nobody looked into it."""


class Sent(BaseModel):
    """What `send` appended, in the order of the log."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    records: tuple[Appended, ...]
