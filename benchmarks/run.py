"""`make bench`: every figure of the README beside its target, measured now, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import calling
import capacity
import choosing
import core
import day
import insights
import kafka
import kafka_latency
import kafka_trips
import limits
import peers
import planning
import replay
import sink
import sketch
import startup
import study_worlds
import terminal
import ticks
import windows

SECTIONS: dict[str, Callable[[], list[core.Row]]] = {
    "decision": lambda: [*core.decisions(), *day.decisions()],
    "day": day.rows,
    "peers": peers.rows,
    "reporting": core.reporting,
    "breaker": choosing.breaker,
    "fold, merge, snapshot": core.folding,
    "windows": windows.rows,
    "memory": core.memory,
    "insights": insights.rows,
    "ticks": ticks.rows,
    "fleet": core.fleet,
    "import": core.importing,
    "startup": startup.rows,
    "worker": lambda: [*kafka.saturated(), *kafka.paced()],
    "backlog": kafka.backlog,
    "freshness": lambda: [*kafka_latency.freshness(), *kafka_latency.drains()],
    "trips": kafka_trips.trips,
    "recovery": kafka_latency.recovery,
    "rate limits": limits.rows,
    "overflow": calling.overflow,
    "capacity": capacity.rows,
    "planning": planning.rows,
    "replay": replay.rows,
    "sink": sink.rows,
    "top": terminal.rows,
    "sketch": lambda: [core.Row(*row) for row in sketch.rows()],
}


def main(chosen: list[str]) -> None:
    """Print the sections asked for, or all of them and a small table of worlds."""
    unknown = [name for name in chosen if name not in SECTIONS and name != "worlds"]
    if unknown:
        raise SystemExit(f"no such section: {', '.join(unknown)}; there are {', '.join(SECTIONS)} and worlds")
    for name, measure in SECTIONS.items():
        if not chosen or name in chosen:
            print(f"\n{name}")
            for row in measure():
                print(f"  {row.measure:<60} {row.value:<40} {row.target}", flush=True)
    if not chosen or "worlds" in chosen:
        print("\nworlds (small; `make study-worlds` for the whole table)")
        study_worlds.main(["--quick"])


if __name__ == "__main__":
    main(sys.argv[1:])
