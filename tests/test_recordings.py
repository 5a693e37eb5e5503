from __future__ import annotations

import sys
from pathlib import Path

from routecast.recordings import azure, llmperf

ROOT = Path(__file__).parent.parent
DATA = ROOT / "src" / "routecast" / "data"
sys.path.insert(0, str(ROOT / "benchmarks"))

import excerpt_traces  # noqa: E402 - the folder of scripts is no package


def test_the_excerpts_are_what_the_script_makes_of_the_originals(traces: Path) -> None:
    """The bundled files hold recorded data and nothing else."""
    assert excerpt_traces.azure(traces) == (DATA / excerpt_traces.AZURE).read_text()
    assert excerpt_traces.llmperf(traces) == (DATA / excerpt_traces.LLMPERF).read_text()


def test_the_bundle_is_small() -> None:
    """At most 600 kB travel with every installation."""
    assert sum(path.stat().st_size for path in DATA.iterdir()) <= 600_000


def test_arrivals_are_in_order_of_time() -> None:
    """Offsets begin at 0 and never go back; every request has tokens."""
    recording = azure()
    assert recording.offsets_ms[0] == 0
    assert list(recording.offsets_ms) == sorted(recording.offsets_ms)
    assert len(recording.offsets_ms) == len(recording.output_tokens) == 12_000
    assert min(recording.input_tokens) > 0


def test_the_runs_keep_the_storm() -> None:
    """Ten runs of 150 requests; both runs of lepton hold 130 refusals, the first of them early."""
    runs = {run.name: run for run in llmperf()}
    refused = {name: sum(answer.rate_limited for answer in run.answers) for name, run in runs.items()}
    assert {len(run.answers) for run in runs.values()} == {150}
    assert {name: n for name, n in refused.items() if n} == {"lepton_7b": 130, "lepton_13b": 130, "perplexity_70b": 2}


def test_an_answer_can_be_replayed_at_another_length() -> None:
    """Its time is that to the first token plus one time per output token for each further one."""
    answer = next(run for run in llmperf() if run.name == "groq_70b").answers[0]
    assert answer.service_ms(1) == answer.ttft_ms
    assert answer.service_ms(101) == answer.ttft_ms + 100 * answer.tpot_ms
