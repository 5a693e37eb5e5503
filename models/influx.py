"""What people are told about InfluxDB: what was made there, and whether it is as it must be."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


Done = Literal["made", "changed", "there"]


class BucketMade(_Frozen):
    """A bucket after `influx init`."""

    name: str
    kept_s: NonNegativeInt
    """How long it keeps what it is given, s; 0: for ever."""
    done: Done


class TokenMade(_Frozen):
    """A token after `influx init`."""

    role: Literal["write", "read"]
    file: str
    """The file in which its user looks for it."""
    done: Done
    token: str | None = None
    """Only where it was made just now, and not stored in the file: it is shown once."""
    saved: bool = False
    """Whether it was stored in the file."""
    lacks: tuple[str, ...] = ()
    """Buckets it may not use, made after it was."""


class InfluxMade(_Frozen):
    """What `influx init` did."""

    url: str
    organisation: str
    buckets: tuple[BucketMade, ...]
    tokens: tuple[TokenMade, ...]


class Finding(_Frozen):
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str = ""
    mend: str = ""
    """What to do where it is not as it must be."""


class InfluxFindings(_Frozen):
    """What `influx check` found."""

    url: str
    organisation: str
    findings: tuple[Finding, ...]
