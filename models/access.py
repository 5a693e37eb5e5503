"""What programs may do on the brokers, as people see it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Rule(BaseModel):
    """One thing a role needs."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    role: str
    operations: tuple[str, ...]
    resource: str
    """`topic` or `group`."""
    names: tuple[str, ...]
    """With the configured prefix."""
    command: str
    """What an administrator of the brokers runs to allow it, with `NAME` for the user where none was given."""


class Rules(BaseModel):
    """Everything some roles need."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    rules: tuple[Rule, ...]
