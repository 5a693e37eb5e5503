"""What a recording says of itself: `manifest.json`, its last part."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from routecast.models.errors import DecodeError

FORMAT = 1
"""Of the files that this version writes and reads."""


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class Part(_Frozen):
    """A member of the file: records of one partition, one after the other."""

    name: str
    records: int
    first_offset: int
    last_offset: int
    size: int = Field(description="bytes before compression")
    sha256: str = Field(description="of the bytes before compression")


class Stretch(_Frozen):
    """What was recorded of one partition of a topic. Times are the log's own: when records were appended, epoch ms."""

    topic: str = Field(description="without the prefix; `base` holds rows of the fold instead of a topic's records")
    partition: int
    records: int
    first_offset: int
    last_offset: int
    first_ms: float
    last_ms: float
    parts: tuple[Part, ...]


class Base(_Frozen):
    """The checkpoint from which the recording begins, and what it contains of the events."""

    term: int
    seq: int
    at_ms: float
    offsets: dict[int, int] = Field(description="per partition of the events, the last offset that the rows of `base` contain")


class Manifest(_Frozen):
    """What the file holds."""

    format: int
    routecast: str = Field(description="version that wrote the file")
    prefix: str = Field(description="of the topics that were recorded")
    base: Base | None = Field(description="absent where the recording begins with the first event")
    events: int = Field(description="events in the records of the topic `events`")
    stretches: tuple[Stretch, ...]

    @property
    def first_ms(self) -> float:
        """When the first recorded event was appended, epoch ms; 0 without any."""
        return min((found.first_ms for found in self.of("events")), default=0.0)

    @property
    def last_ms(self) -> float:
        """When the last one was."""
        return max((found.last_ms for found in self.of("events")), default=0.0)

    def of(self, topic: str) -> tuple[Stretch, ...]:
        """What was recorded of a topic, by partition."""
        return tuple(found for found in self.stretches if found.topic == topic)


class _Format(BaseModel):
    """What is read first: everything else depends on it."""

    format: int
    routecast: str


def decode_manifest(data: bytes) -> Manifest:
    """The manifest behind these bytes.

    Raises DecodeError where they are none, or belong to another format.
    """
    try:
        said = _Format.model_validate_json(data)
        if said.format != FORMAT:
            raise DecodeError(f"format {said.format}, written by routecast {said.routecast}; this version reads format {FORMAT}: replay it with that version")
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise DecodeError(f"its manifest cannot be read: {error.errors(include_url=False)[0]['msg']}") from error
