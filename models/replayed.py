"""Where a replay into InfluxDB or into a file is, and what it reports."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from routecast.models.errors import ConfigError


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class ReplayPosition(_Frozen):
    """Up to where everything is stored."""

    whose: dict[str, str] = Field(description="recording, range, configuration and run it belongs to")
    steps: NonNegativeInt = Field(default=0, description="moments that are done")
    at_ms: float = Field(default=0.0, description="the last of them, epoch ms")
    size: NonNegativeInt = Field(default=0, description="bytes of the file of lines by then")

    @classmethod
    def decode(cls, data: bytes, name: str) -> ReplayPosition:
        """The position in a file of this name. Raises ConfigError where there is none."""
        try:
            return cls.model_validate_json(data)
        except ValidationError:
            raise ConfigError(f"{name!r} is no checkpoint of a replay: give another file, or remove it") from None


class Played(_Frozen):
    """A replay, or a part of one."""

    file: str
    run: str = Field(description="value of the tag `run`")
    finished: bool = Field(description="whether it came to the end; else it goes on from its checkpoint")
    events: int
    at_ms: float = Field(description="recorded time that it reached, epoch ms")
    lines: int = Field(description="points stored by this part")
    bad: tuple[str, ...] = Field(description="points that could not be stored, and why")
    took_s: float
