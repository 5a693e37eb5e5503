"""Reads the two recorded arrival traces of the worlds `azure` and `mooncake`.

They are looked for in the folder that ROUTECAST_TRACES names: `azure_llm_2023/AzureLLMInferenceTrace_conv.csv` of
Azure/AzurePublicDataset and `mooncake_fast25/conversation_trace.jsonl` of kvcache-ai/Mooncake.
"""

from __future__ import annotations

import csv
import json
import os
from datetime import datetime
from pathlib import Path

import numpy as np

from routecast.analytics.arrivals import Traffic

FILES = {"azure": "azure_llm_2023/AzureLLMInferenceTrace_conv.csv", "mooncake": "mooncake_fast25/conversation_trace.jsonl"}


def recorded(name: str) -> Traffic | None:
    """The trace behind a world of this name; None where it has none or the file is missing."""
    folder = os.environ.get("ROUTECAST_TRACES")
    if folder is None or name not in FILES:
        return None
    path = Path(folder) / FILES[name]
    if not path.is_file():
        return None
    rows = _azure_rows(path) if name == "azure" else _mooncake_rows(path)
    at_s, tokens = np.array(rows).T
    return Traffic(at_s - at_s[0], tokens)


def _azure_rows(path: Path) -> list[tuple[float, float]]:
    with path.open(newline="") as file:
        # Seven decimals of a second are one more than datetime takes.
        return [(datetime.fromisoformat(f"{row['TIMESTAMP'][:26]}+00:00").timestamp(), float(row["GeneratedTokens"])) for row in csv.DictReader(file)]


def _mooncake_rows(path: Path) -> list[tuple[float, float]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["timestamp"] / 1000.0, float(row["output_length"])) for row in rows]
