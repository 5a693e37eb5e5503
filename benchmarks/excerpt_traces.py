"""Make the bundled excerpts in `src/routecast/data` from the original recordings: `python benchmarks/excerpt_traces.py TRACES [OUT]`."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import datetime
from pathlib import Path

AZURE_ROWS = 12_000
AZURE = "azure_llm_2023.csv"
LLMPERF = "llmperf_2023.csv"
RUNS = (
    "anyscale_7b", "anyscale_70b", "bedrock_13b", "fireworks_13b", "groq_70b", "lepton_7b", "lepton_13b", "perplexity_70b", "replicate_13b", "together_70b",
)  # fmt: skip
_SUCCESS = (None, -100)


def azure(traces: Path) -> str:
    """Arrival offset (ms), context and generated tokens of the first requests."""
    with (traces / "azure_llm_2023" / "AzureLLMInferenceTrace_conv.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:AZURE_ROWS]
    times = [datetime.fromisoformat(row["TIMESTAMP"][:26]) for row in rows]
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    write(("offset_ms", "input_tokens", "output_tokens"))
    for time, row in zip(times, rows, strict=True):
        write((round((time - times[0]).total_seconds() * 1000), row["ContextTokens"], row["GeneratedTokens"]))
    return out.getvalue()


def llmperf(traces: Path) -> str:
    """Outcome, time to first token, total time (ms) and tokens of every request of the ten runs, in their order."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    write(("run", "outcome", "ttft_ms", "total_ms", "input_tokens", "output_tokens"))
    for run in RUNS:
        for row in json.loads((traces / "llmperf_2023" / f"{run}.json").read_text()):
            if row["error_code"] in _SUCCESS:
                write(
                    (
                        run,
                        "ok",
                        f"{row['ttft_s'] * 1000:.1f}",
                        f"{row['end_to_end_latency_s'] * 1000:.1f}",
                        row["number_input_tokens"],
                        row["number_output_tokens"],
                    )
                )
            else:
                write((run, "rate_limited" if row["error_code"] == 429 else "error", 0, 0, 0, 0))
    return out.getvalue()


def main(arguments: list[str]) -> None:
    """Write both files."""
    if not arguments:
        raise SystemExit("usage: python benchmarks/excerpt_traces.py TRACES [OUT]")
    traces, out = Path(arguments[0]), Path(arguments[1] if len(arguments) > 1 else "src/routecast/data")
    for name, text in ((AZURE, azure(traces)), (LLMPERF, llmperf(traces))):
        (out / name).write_text(text)
        print(f"{out / name}: {len(text):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
