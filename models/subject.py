"""Whom an insight is about."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

SubjectKind = Literal["target", "provider", "service", "system"]


class Subject(BaseModel):
    """Whom an insight is about."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")

    kind: SubjectKind
    id: str
    provider: str | None = None
    model: str | None = None
    service: str | None = None
    region: str | None = None

    @property
    def key(self) -> str:
        """Kind and id, `target/azure-eu`: no two subjects have the same."""
        return f"{self.kind}/{self.id}"
