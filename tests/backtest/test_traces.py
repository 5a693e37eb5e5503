from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from routecast.backtest.trace_input import trace_played
from routecast.backtest.traces import trace
from routecast.models.errors import ConfigError


def test_the_bundled_trace_needs_nothing() -> None:
    """Azure's first 12,000 requests, in order, with tokens."""
    found = trace("azure", {})
    assert len(found.offsets_s) == 12_000
    assert (np.diff(found.offsets_s) >= 0).all()
    assert found.output_tokens.min() >= 1
    assert found.first(10).offsets_s.tolist() == found.offsets_s[:10].tolist()


def test_a_trace_that_is_missing_is_told() -> None:
    """With what to set."""
    with pytest.raises(ConfigError, match="set ROUTECAST_TRACES"):
        trace("mooncake", {})
    with pytest.raises(ConfigError, match="is not there: set ROUTECAST_TRACES"):
        trace("mooncake", {"ROUTECAST_TRACES": "nowhere"})


def test_clients_of_servegen_keep_their_burstiness(tmp_path: Path) -> None:
    """Two clients with windows of their own: rates in proportion, bursts of a Weibull client, tokens of the histogram in force; always the same requests."""
    folder = tmp_path / "servegen" / "m-small"
    folder.mkdir(parents=True)
    for name, rate, cv, family, shape, tokens in (("1", 30.0, 1.0, "Gamma", 1.0, 7), ("2", 10.0, 4.0, "Weibull", 0.4, 9)):
        rows = [f"{begin},{rate},{cv},{family},{shape},0.1" for begin in range(32_400, 39_600, 600)]
        (folder / f"chunk-{name}-trace.csv").write_text("\n".join(rows) + "\n")
        histogram = {
            "0": {"input_tokens": "{1: 1.0}", "output_tokens": "{1: 1.0}"},
            "21600": {"input_tokens": "{5: 0.5, 6: 0.5}", "output_tokens": f"{{{tokens}: 1.0}}"},
        }
        (folder / f"chunk-{name}-dataset.json").write_text(json.dumps(histogram))
    found, again = (trace("servegen", {"ROUTECAST_TRACES": str(tmp_path)}) for _ in range(2))
    assert found.offsets_s.tolist() == again.offsets_s.tolist()
    assert len(found.offsets_s) == pytest.approx(20_000, rel=0.05)
    steady, bursty = (found.offsets_s[found.output_tokens == tokens] for tokens in (7, 9))
    assert len(steady) / len(bursty) == pytest.approx(3.0, rel=0.1)
    variation = [float(np.diff(times).std() / np.diff(times).mean()) for times in (steady, bursty)]
    assert variation[0] == pytest.approx(1.0, abs=0.1)
    assert variation[1] > 2.0
    assert set(found.input_tokens.tolist()) == {5.0, 6.0}


def test_the_original_traces_are_read(traces: Path) -> None:
    """All three have requests in order, with tokens, where they are."""
    environ = {"ROUTECAST_TRACES": str(traces)}
    for name, n in (("azure", 19_366), ("mooncake", 12_031)):
        assert len(trace(name, environ).offsets_s) == n  # type: ignore[arg-type]
    assert trace("servegen", environ).offsets_s[-1] == pytest.approx(7200, abs=20)


def test_a_trace_is_compressed_to_the_load() -> None:
    """Work that arrives ÷ what the slots can do is 70 %; troubles lie within the run; another seed is another draw of the same requests."""
    played = trace_played("azure", trace("azure", {}).first(3000), [1, 2])
    one, other = played.scenes
    span_ms = float(one.requests.at_ms[-1])
    per_ms = sum(target.law.slots / float(target.alone_ms.mean()) for target in one.targets)
    assert len(one.requests) / span_ms / per_ms == pytest.approx(0.7, rel=0.03)
    assert {spell.kind for spell in played.spells} == {"failing", "refusing", "slow"}
    assert all(0 < spell.from_s < spell.until_s < span_ms / 1000 for spell in played.spells)
    assert one.requests.at_ms.tolist() == other.requests.at_ms.tolist()
    assert one.targets[0].alone_ms.tolist() != other.targets[0].alone_ms.tolist()
