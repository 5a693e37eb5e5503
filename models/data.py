"""What `routecast export` and `routecast import` report."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class Exported(_Frozen):
    """A table that was written."""

    file: str
    table: str = Field(description="`events`, `decisions` or `windows`")
    out: str
    rows: int
    columns: tuple[str, ...]
    bytes: int = Field(description="size of the file")


class Trouble(_Frozen):
    """Lines of a request log that one reason kept out, or kept a value out of."""

    column: str = Field(description="whose value it was; empty where it was the line as a whole")
    reason: str
    lines: int
    first: tuple[int, ...] = Field(description="numbers of the first of these lines, from 1")
    example: str = Field(description="what stood there in the first one")


class Imported(_Frozen):
    """A request log that became a recording."""

    log: str
    out: str
    lines: int = Field(description="lines with something in them, a heading apart")
    requests: int = Field(description="lines that became attempts")
    skipped: int = Field(description="lines that did not")
    values: int = Field(description="single values that were left out of attempts")
    events: int
    first_ms: float = Field(description="when the first attempt began, epoch ms; 0 without any")
    last_ms: float = Field(description="when the last one ended")
    targets: tuple[str, ...]
    unused: tuple[str, ...] = Field(description="columns of the log that the mapping does not name")
    troubles: tuple[Trouble, ...]
