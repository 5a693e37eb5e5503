"""Replay: time and memory of a million and of ten million recorded events, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from core import Row
from recorded_traffic import write_recording

_CHILD = """
import json, resource, sys, time
from pathlib import Path
from routecast.streams.recordings.recording import Recording
from routecast.streams.recordings.replay import replay
what, file = sys.argv[1], Path(sys.argv[2])
if what != "fold":
    from routecast import frames
before_mb, began_s, cpu_s = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, time.perf_counter(), time.process_time()
if what == "fold":
    with Recording(file) as recording:
        n = replay(recording, lambda *_: None).events
else:
    n = len(getattr(frames, what)(file))
print(json.dumps({"n": n, "s": time.perf_counter() - began_s, "cpu_s": time.process_time() - cpu_s,
                  "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, "before_mb": before_mb}))
"""
_MILLION = 1_000_000


def rows() -> list[Row]:
    """Folding, and loading as tables."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.rec", Path(folder) / "large.rec"
        write_recording(small, _MILLION)
        found = [
            Row("replay of 1,000,000 events through the fold", _measured("fold", small), "≤ 10 s"),
            Row("the same as a table of decisions", _measured("load_decisions", small)),
            Row("as a table of events", _measured("load_events", small)),
            Row("as closed windows, an hour of them", _measured("load_windows", small)),
        ]
        write_recording(large, 10 * _MILLION)
        return [*found, Row("replay of 10,000,000 events through the fold", _measured("fold", large))]


def _measured(what: str, file: Path) -> str:
    ran = subprocess.run([sys.executable, "-c", _CHILD, what, str(file)], check=True, capture_output=True, text=True)
    found = json.loads(ran.stdout)
    return f"{found['s']:.1f} s ({found['cpu_s']:.1f} s of CPU), {found['mb']:.0f} MB, {found['mb'] - found['before_mb']:.0f} above its start"
