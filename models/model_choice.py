"""Which model to use for a class of requests, and the evidence it was chosen by."""

from __future__ import annotations

from typing import ClassVar, TypedDict

from pydantic import BaseModel, ConfigDict, Field


class Asked(TypedDict, total=False):
    """What may be asked of a model beside, or on top of, `Requirements`."""

    response_time_ms: float
    """Whole answer within this time, with 95 % probability, ms."""
    quality: float
    """Least quality, 0..1."""
    reliability: float
    """Least success ratio, 0..1."""
    max_cost_usd: float
    """Most an average answer may cost, USD."""
    complexity: float
    """Of the context, 0..1: scales the expected tokens."""
    region: str
    """Only targets of this region."""
    caller_region: str
    """Where the caller is."""


class ModelEvidence(BaseModel):
    """One model as its best target serves it."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    model: str
    target: str = Field(description="its best target: one that meets what was asked, the least expensive, the quickest")
    p95_ms: float | None = Field(description="time within which 95 % of such answers are there; none without evidence")
    quality: float = Field(description="mean quality, 0..1; the configured or the usual one until feedback arrives")
    success: float = Field(description="lower bound of the success ratio, 0..1")
    usd: float = Field(description="expected price of such a request, USD")
    cost_s: float = Field(description="expected time to a success, with what reliability, quality and money are worth, seconds")
    unknown: tuple[str, ...] = Field(description="what there is too little evidence to tell")
    reason: str = Field(description="why it was not chosen; empty for the chosen one")


class ModelChoice(BaseModel):
    """A model and why not another."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    model: str
    met: bool = Field(description="whether it is known, or at least not known not, to meet what was asked; false: it is the least bad")
    snapshot: tuple[int, int] = Field(description="(term, seq) of the snapshot used; (0, 0): the configuration alone")
    candidates: tuple[ModelEvidence, ...] = Field(description="all models, the chosen one first")
