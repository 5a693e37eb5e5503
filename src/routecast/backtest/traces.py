"""Arrivals and tokens of public traces, for backtests without a recording of one's own.

They are looked for in the folder that ROUTECAST_TRACES names; a part of `azure` is bundled. docs/backtest.md says where they are from.
"""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from routecast.models.errors import ConfigError
from routecast.recordings import azure

Floats = NDArray[np.float64]

TraceName = Literal["azure", "mooncake", "servegen"]
TRACES: Final[tuple[TraceName, ...]] = get_args(TraceName)
_AZURE, _MOONCAKE, _SERVEGEN = "azure_llm_2023/AzureLLMInferenceTrace_conv.csv", "mooncake_fast25/conversation_trace.jsonl", "servegen/m-small"
_FROM_S, _WINDOW_S, _WINDOWS = 32_400, 600, 12
"""Two hours of ServeGen, from nine in the morning of its first day on."""
_SERVEGEN_REQUESTS: Final = 20_000
"""So many of some two million, thinned by letting every client ask more seldom: burstiness and mix of the clients stay."""


class Trace(NamedTuple):
    """Requests in the order in which they came."""

    offsets_s: Floats
    """Since the first."""
    input_tokens: Floats
    output_tokens: Floats
    files: tuple[Path, ...]
    """What was read; none where it was bundled."""

    def first(self, most: int) -> Trace:
        """The first ones, at most so many."""
        return Trace(self.offsets_s[:most], self.input_tokens[:most], self.output_tokens[:most], self.files)


def trace(name: TraceName, environ: Mapping[str, str]) -> Trace:
    """A trace by name. Raises ConfigError where its file is not there."""
    folder = environ.get("ROUTECAST_TRACES")
    if folder is not None:
        return _READERS[name](Path(folder))
    if name == "azure":
        bundled = azure()
        return _trace(np.array([[at_ms / 1000.0 for at_ms in bundled.offsets_ms], bundled.input_tokens, bundled.output_tokens], float), ())
    raise ConfigError(f"trace {name!r} is not bundled: set ROUTECAST_TRACES to the folder that holds it; 'azure' needs none")


def _azure(folder: Path) -> Trace:
    with _found(folder / _AZURE).open(newline="") as file:
        # Seven decimals of a second are one more than datetime takes.
        rows = [
            (datetime.fromisoformat(f"{row['TIMESTAMP'][:26]}+00:00").timestamp(), float(row["ContextTokens"]), float(row["GeneratedTokens"]))
            for row in csv.DictReader(file)
        ]
    return _trace(np.array(rows).T, (folder / _AZURE,))


def _mooncake(folder: Path) -> Trace:
    rows = [json.loads(line) for line in _found(folder / _MOONCAKE).read_text().splitlines()]
    columns = np.array([(row["timestamp"] / 1000.0, row["input_length"], row["output_length"]) for row in rows], float).T
    return _trace(columns, (folder / _MOONCAKE,))


def _servegen(folder: Path) -> Trace:
    """Renewal arrivals of every client with its rate and its burstiness in each ten minutes, tokens by its histograms; always the same ones."""
    rng = np.random.default_rng(2025)
    datasets = sorted(_found(folder / _SERVEGEN).glob("chunk-*-dataset.json"))
    clients = [(dataset.with_name(dataset.name.replace("dataset.json", "trace.csv")), dataset) for dataset in datasets]
    windows = [_windows(path) for path, _ in clients]
    thin = _SERVEGEN_REQUESTS / (_WINDOW_S * sum(rate for mine in windows for _, rate, _, _ in mine))
    parts = [_client(rng, mine, dataset, thin) for mine, (_, dataset) in zip(windows, clients, strict=True)]
    columns = np.concatenate(parts, axis=1)
    return _trace(columns[:, np.argsort(columns[0], kind="stable")], tuple(path for pair in clients for path in pair))


def _windows(path: Path) -> list[tuple[float, float, str, float]]:
    """(begin, rate per second, family, shape) of the windows of one client."""
    with path.open(newline="") as file:
        rows = [(float(at), float(rate), float(cv), family, float(shape)) for at, rate, cv, family, shape, _ in csv.reader(file)]
    mine = [row for row in rows if _FROM_S <= row[0] < _FROM_S + _WINDOWS * _WINDOW_S and row[1] > 0]
    return [(at, rate, family, shape if family == "Weibull" else 1.0 / max(0.1, cv) ** 2) for at, rate, cv, family, shape in mine]


def _client(rng: np.random.Generator, windows: list[tuple[float, float, str, float]], dataset: Path, thin: float) -> Floats:
    """[3 × requests] times, input and output tokens of one client."""
    histograms = {int(at): {kind: ast.literal_eval(text) for kind, text in both.items()} for at, both in json.loads(dataset.read_text()).items()}
    found: list[Floats] = []
    for at_s, rate, family, shape in windows:
        times = _renewals(rng, at_s - _FROM_S, 1.0 / (rate * thin), family, shape)
        both = histograms[max((begin for begin in histograms if begin <= at_s), default=min(histograms))]
        found.append(np.stack([times, *(_drawn(rng, both[kind], len(times)) for kind in ("input_tokens", "output_tokens"))]))
    return np.concatenate(found, axis=1) if found else np.zeros((3, 0))


def _renewals(rng: np.random.Generator, begin_s: float, mean_s: float, family: str, shape: float) -> Floats:
    n = int(_WINDOW_S / mean_s * 2 + 50)
    gaps = rng.weibull(shape, n) if family == "Weibull" else rng.gamma(shape, size=n)
    expected = gaps.mean() if family == "Weibull" else shape
    times = begin_s + np.cumsum(gaps * mean_s / expected) - mean_s * rng.random()
    return times[(times >= begin_s) & (times < begin_s + _WINDOW_S)]


def _drawn(rng: np.random.Generator, histogram: Mapping[int, float], n: int) -> Floats:
    weights = np.array(list(histogram.values()), float)
    return rng.choice(np.array(list(histogram), float), n, p=weights / weights.sum())


def _trace(columns: Floats, files: tuple[Path, ...]) -> Trace:
    """From [3 × requests] times, input and output tokens."""
    offsets_s, input_tokens, output_tokens = columns
    return Trace(offsets_s - offsets_s[0], input_tokens, np.maximum(1.0, output_tokens), files)


def _found(path: Path) -> Path:
    if not path.exists():
        raise ConfigError(f"{str(path)!r} is not there: set ROUTECAST_TRACES to the folder with the traces")
    return path


_READERS: Final[Mapping[TraceName, Callable[[Path], Trace]]] = {"azure": _azure, "mooncake": _mooncake, "servegen": _servegen}
