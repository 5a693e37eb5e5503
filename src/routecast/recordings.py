"""The bundled recordings: arrivals of a public LLM service, and what ten provider runs answered. `data/SOURCES.md` says where from."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from routecast.analytics.simulation.recorded import Answer


@dataclass(frozen=True)
class Recording:
    """Arrivals in order of time, one entry a request."""

    offsets_ms: tuple[int, ...]
    """Since the first request."""
    input_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """One provider run of about 150 requests, in their order."""

    name: str
    provider: str
    model: str
    answers: tuple[Answer, ...]


@cache
def azure() -> Recording:
    """The first 12,000 requests of the Azure LLM inference trace 2023, conversation part."""
    rows = _rows("azure_llm_2023.csv")
    return Recording(*(tuple(int(row[column]) for row in rows) for column in ("offset_ms", "input_tokens", "output_tokens")))


@cache
def llmperf() -> tuple[Run, ...]:
    """The ten recorded provider runs; rows that neither succeeded nor were refused do not occur."""
    answers: dict[str, list[Answer]] = {}
    for row in _rows("llmperf_2023.csv"):
        answers.setdefault(row["run"], []).append(_answer(row))
    return tuple(Run(name, name.split("_")[0], f"llama-2-{name.split('_')[1]}", tuple(found)) for name, found in answers.items())


def _answer(row: dict[str, str]) -> Answer:
    if row["outcome"] != "ok":
        return Answer(rate_limited=True, ttft_ms=0.0, tpot_ms=0.0)
    ttft_ms, more = float(row["ttft_ms"]), max(1, int(row["output_tokens"]) - 1)
    return Answer(rate_limited=False, ttft_ms=ttft_ms, tpot_ms=max(0.0, float(row["total_ms"]) - ttft_ms) / more)


def _rows(name: str) -> list[dict[str, str]]:
    with (files("routecast") / "data" / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
