"""The study of dashboards: every query of every panel, variable, mark and alert rule on a real InfluxDB that holds a day of twenty targets.

Prints how long each takes, the longest first. All must answer with rows, within two seconds each.

With `--live` the demonstration is played beside that day, through a real Kafka, a worker and the sink, people intervening: then every query is
also asked for its ten targets alone, counts and percentiles must be those of the events, each trouble must be seen where an operator looks for it,
and the alert rules must hold of what the stream has raised, when it has, and of nothing else.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from grafana_queries import Query, asked, everything, queries, substituted
from incidents_shown import LONG_S, looked, table
from live_demonstration import RUN, Played, play, stored_counts, wrong_percentiles
from stored_fleet import Span, config, lines, replayed, store

from routecast.dashboards.influx.administration import Administration
from routecast.demo.demonstration import OUTAGE
from routecast.models.config import Config, Influx
from routecast.servers.influxd import LocalInflux

MOST_S: Final = 2.0
_DAY_S: Final = 86_400
RUNS: Final = ("run-1", "run-2")
_UNREPORTED: Final[Mapping[str, str]] = {
    "Targets in trouble": "at the end all are well",
    "Resources": "no target reports its own",
    "Network": "no target reports its own",
    "Quality": "nobody judges answers",
}
"""Panels that the demonstration alone may leave without rows, and why."""


class Asked(NamedTuple):
    """A query, and what it answered."""

    query: Query
    seconds: float
    rows: int


class Server(NamedTuple):
    """Where everything is stored."""

    settings: Influx
    token: str

    def ask(self, fleet: Config, end_ms: int, range_s: int, *runs: str) -> list[Asked]:
        """Every query for everything of a fleet; for one target where there is one at a time."""
        every, found = everything(fleet, *runs), list[Asked]()
        for query in queries(fleet):
            one = {"target": [fleet.target[3].id]} if query.file == "routecast-target" else {}
            text = substituted(query.text, every | one, end_ms=end_ms, range_s=range_s)
            began_s = time.perf_counter()
            rows = len(asked(self.settings, self.token, text))
            found.append(Asked(query, time.perf_counter() - began_s, rows))
        return found


def both(played: Config) -> Config:
    """The targets of the stored day and of the demonstration."""
    return played.model_copy(update={"target": (*config().target, *played.target)})


def excuse(query: Query, raised: bool) -> str:  # noqa: FBT001 - what there is to know
    """Why a query may answer nothing about the demonstration alone; empty: for no reason."""
    if query.kind != "annotation" and query.where in _UNREPORTED:
        return _UNREPORTED[query.where]
    if query.kind == "rule" and "pipeline" not in query.file:
        return "nobody has had such an alert lately"
    if '"alert"' not in query.text and "(alert)" not in query.text:
        return ""
    lasting = query.where in {"Alerts", "Lasting", "What lasts"} and query.kind != "annotation"
    return "at the end no alert lasts" if lasting else "" if raised else "no trouble lasted for long enough to be an alert"


def judged(found: Sequence[Asked], alone: Sequence[Asked]) -> list[str]:
    """Print them, the longest first; what is slow, or empty without a reason."""
    by_query = {one.query: one.rows for one in alone}
    raised = any(one.rows for one in alone if one.query.where == "What was said")
    for one in sorted(found, key=lambda one: -one.seconds):
        rows = by_query.get(one.query)
        why = f"  ({excuse(one.query, raised) or 'no reason'})" if rows == 0 else ""
        beside = "" if rows is None else f"{rows:7,} alone"
        print(f"{one.seconds * 1000:7.0f} ms {one.rows:7,} rows{beside}  {one.query.kind:<15}{one.query.name}{why}")
    slow = [one.query.name for one in (*found, *alone) if one.seconds > MOST_S]
    empty = [one.query.name for one in (*found, *alone) if not (one.rows or (alone and excuse(one.query, raised)))]
    print(f"{len(found)} queries; slow: {', '.join(slow) or 'none'}; empty: {', '.join(empty) or 'none'}")
    return slow + empty


def checked(played: Played, server: Server, seconds: float) -> list[str]:
    """Print what InfluxDB holds of the demonstration, and what is seen of its troubles; what is wrong."""
    wrong = [f"{check.what}: {check.pipeline} for {check.truth}" for check in played.report.checks if not check.agrees]
    truth, targets = played.truth.counts, {target.id for target in played.config.target}
    held = stored_counts(server.settings, server.token, targets, played.begun_ms)
    wrong += [f"{target} {field}: {held[target, field]} for {count}" for (target, field), count in truth.items() if held[target, field] != count]
    requests = sum(count for (_, field), count in truth.items() if field == "requests")
    compared, off = wrong_percentiles(played, server.settings, server.token)
    print(f"{requests:,} requests, {len(truth)} counts and {compared:,} percentiles compared; percentiles off by more than 1 %: {len(off)}")
    shown = looked(played, server.settings, server.token, seconds)
    print(table(shown))
    wrong += [*off, *(f"{one.incident.run}: {missing}" for one in shown for missing in one.missing)]
    if (OUTAGE.ends - OUTAGE.begins) * seconds >= LONG_S:
        wrong += [f"no rule held of {one.incident.run}" for one in shown if one.incident == OUTAGE and not one.firing]
    print(f"wrong: {'; '.join(wrong) or 'nothing'}")
    return wrong


def main(argv: Sequence[str] | None = None) -> None:
    """Run the study and print it; exit code 1 where a query is slow or answers nothing, or a trouble is not seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=24, help="of windows of ten seconds and of scores (default: %(default)s)")
    parser.add_argument("--live", type=float, metavar="SECONDS", help="also play the demonstration, for so long; from 1400 on its outage is an alert")
    parser.add_argument("--speed", type=float, default=1.0, help="of the demonstration (default: %(default)s)")
    options = parser.parse_args(argv)
    end_ms, range_s = int(time.time() * 1000), options.hours * 3600
    span = Span(end_ms, {"10s": range_s, "1m": 3 * _DAY_S, "1h": 30 * _DAY_S}, range_s)
    with tempfile.TemporaryDirectory() as name, LocalInflux(Path(name) / "influx") as influx:
        server = Server(Influx(url=influx.url), influx.token)
        Administration(server.settings, server.token).make()
        began_s = time.perf_counter()
        count = store(server.settings, server.token, lines(span)) + store(server.settings, server.token, replayed(end_ms))
        print(f"{count:,} lines stored in {time.perf_counter() - began_s:.0f} s")
        if options.live is None:
            sys.exit(bool(judged(server.ask(config(), end_ms, range_s, *RUNS), ())))
        played = play(Path(name), server.settings, server.token, options.live, options.speed)
        own_s = int((played.ended_ms - played.begun_ms) / 1000) + 10
        alone = server.ask(played.config, int(played.ended_ms), own_s, RUN)
        wrong = judged(server.ask(both(played.config), int(played.ended_ms), range_s, *RUNS, RUN), alone)
        sys.exit(bool(checked(played, server, options.live) + wrong))


if __name__ == "__main__":
    main()
