"""The study of dashboards: every query of every panel, variable, mark and alert rule on a real InfluxDB that holds a day of twenty targets.

Prints how long each takes, the longest first. All must answer with rows, within two seconds each.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from grafana_queries import Query, asked, queries, substituted
from stored_fleet import Span, config, lines, replayed, store

from routecast.dashboards.influx.administration import Administration
from routecast.models.config import Influx
from routecast.servers.influxd import LocalInflux

MOST_S: Final = 2.0
_DAY_S: Final = 86_400


def chosen(query: Query) -> Mapping[str, str | list[str]]:
    """What people would have chosen: everything; one target where there is one at a time."""
    targets = config().target
    every = {name: sorted({str(getattr(target, name)) for target in targets}) for name in ("provider", "model", "region")}
    ids = [targets[3].id] if query.file == "routecast-target" else [target.id for target in targets]
    return {**every, "target": ids, "service": "_all", "window": "auto", "run": ["run-1", "run-2"]}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the study and print it; exit code 1 where a query is slow or answers nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=24, help="of windows of ten seconds and of scores (default: %(default)s)")
    options = parser.parse_args(argv)
    end_ms = int(time.time() * 1000)
    span = Span(end_ms, {"10s": options.hours * 3600, "1m": 3 * _DAY_S, "1h": 30 * _DAY_S}, options.hours * 3600)
    with tempfile.TemporaryDirectory() as folder, LocalInflux(Path(folder)) as server:
        settings = Influx(url=server.url)
        Administration(settings, server.token).make()
        began_s = time.perf_counter()
        count = store(settings, server.token, lines(span)) + store(settings, server.token, replayed(end_ms))
        print(f"{count:,} lines stored in {time.perf_counter() - began_s:.0f} s")
        found: list[tuple[float, int, Query]] = []
        for query in queries(config()):
            text = substituted(query.text, chosen(query), end_ms=end_ms, range_s=options.hours * 3600)
            began_s = time.perf_counter()
            rows = len(asked(settings, server.token, text))
            found.append((time.perf_counter() - began_s, rows, query))
    for seconds, rows, query in sorted(found, reverse=True):
        print(f"{seconds * 1000:7.0f} ms {rows:7,} rows  {query.kind:<15}{query.name}")
    wrong = [query.name for seconds, rows, query in found if seconds > MOST_S or not rows]
    print(f"{len(found)} queries; slow or empty: {', '.join(wrong) or 'none'}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
