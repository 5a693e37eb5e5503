from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STUDY = Path(__file__).parent.parent / "benchmarks" / "study_sink.py"


@pytest.mark.timeout(600)
def test_every_point_is_stored_once_whatever_happens_to_influxdb_the_network_and_the_sink(broker_tools: None, influx_tools: None) -> None:
    """A small run of the study: three kills of the sink, one of InfluxDB, every fault of the proxy, poison in between."""
    assert (broker_tools, influx_tools) == (None, None)
    ran = subprocess.run([sys.executable, str(STUDY), "--points", "12000", "--outage", "6"], capture_output=True, text=True, timeout=590, check=False)
    assert (ran.returncode, ran.stdout.splitlines()[-1:]) == (0, ["exact"]), ran.stdout + ran.stderr
