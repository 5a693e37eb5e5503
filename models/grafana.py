"""What people are told about files for Grafana: what was written, and what of it is not as it must be."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class Exported(_Frozen):
    """What `grafana export` wrote."""

    folder: str
    files: tuple[str, ...]
    """Below the folder."""
    variables: tuple[str, ...]
    """Of the environment that Grafana needs."""


class Flaw(_Frozen):
    """Something in a dashboard or a rule that is not as it must be."""

    file: str
    where: str
    """Title of the panel, name of the variable or uid of the rule."""
    rule: str
    """What was broken, in one or two words."""
    what: str
    """One sentence."""
    mend: str
    """What to do."""


class Linted(_Frozen):
    """What `grafana lint` found."""

    files: int
    queries: int
    flaws: tuple[Flaw, ...]
