"""Whether an operator sees the troubles of a demonstration where to look for them, and whether alert rules hold of them when the stream says so."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from grafana_queries import Query, Row, asked, everything, queries, substituted
from live_demonstration import RUN, Played

from routecast.dashboards.grafana.rules import EVERY_S
from routecast.dashboards.points.scores import CODES
from routecast.demo.demonstration import INCIDENTS, OUTAGE, PARTIAL, SLOWDOWN, STORM, Injected
from routecast.models.config import Influx
from routecast.models.snapshot import State

_MINUTE_MS: Final = 60_000
_AFTER_MS: Final = 90_000
"""Calls that began in a trouble end after it, and windows close later still."""
_BEFORE_MS: Final = 30_000
"""A change of level may be dated a little before what brought it."""
_SETTLED: Final = 0.05
"""Share of the time after which figures are what is usual."""


class Sign(NamedTuple):
    """Where to look, and what is to be seen there."""

    board: str
    where: str
    kind: str
    """Of the panel, or `annotation`."""
    says: Callable[[Row, float], bool]
    """Given a row of the time of the trouble, and the median before it."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.board} · {self.where}" + (" (marks)" if self.kind == "annotation" else "")


def _state(state: State) -> Sign:
    return Sign("overview", "States", "state-timeline", lambda row, _: int(row["_value"]) == CODES[state])


def _failures(*kinds: str) -> Sign:
    return Sign("target", "Failures by kind", "timeseries", lambda row, _: row["series"] in kinds and float(row["_value"]) > 0)


def _mark(*words: str) -> Callable[[Row, float], bool]:
    return lambda row, _: any(word in row["title"] for word in words)


_BURN: Final = Sign("overview", "Budget burn", "timeseries", lambda row, before: float(row["_value"]) > max(1.0, 2 * before))
_SLOW: Final = Sign("overview", "95th percentile beside the objective", "timeseries", lambda row, before: float(row["_value"]) > 1.5 * before)
_PER_TOKEN: Final = Sign("target", "First chunk and tokens", "timeseries", lambda row, _: row["series"] == "per token, p95")
_CHANGED: Final = Sign("alerts", "Events", "table", _mark("→ open", "→ rate_limited"))
_SAID: Final = Sign("alerts", "What was said", "table", lambda row, _: row["kind"] == "error_rate")
_ALERTED: Final = Sign("overview", "Alerts", "annotation", lambda _row, _before: True)
_LASTS: Final = Sign("alerts", "Alerts by target", "state-timeline", lambda row, _: row["_value"] in {"raised", "updated"})


def _anomaly(*metrics: str) -> tuple[Sign, Sign]:
    return Sign("alerts", "Anomalies", "table", _mark(*metrics)), Sign("overview", "Anomalies", "annotation", _mark(*metrics))


_FAILING: Final = (_state("open"), _BURN, _failures("errors"), _CHANGED, *_anomaly("error_ratio"))
_LONG: Final = (_SAID, _LASTS, _ALERTED)
"""Where a trouble lasts for long enough to wake somebody."""
SIGNS: Final[Mapping[str, tuple[Sign, ...]]] = {
    STORM.run: (_state("rate_limited"), _BURN, _failures("refused (429)"), _CHANGED),
    OUTAGE.run: _FAILING,
    SLOWDOWN.run: (_SLOW, *_anomaly("response_time", "tpot", "ttft")),
    PARTIAL.run: _FAILING,
}
LONG_S: Final = 210.0
"""From here on a target that is out of service is an alert: out for more than three of six minutes, as the stream has it too."""


class Shown(NamedTuple):
    """A trouble, what was seen of it, and which rules held."""

    incident: Injected
    seen: dict[str, int]
    """Rows that say so, by where they were looked for."""
    firing: dict[str, float]
    """Seconds after its beginning when a rule first held of its target, by kind and severity."""
    raised: dict[str, float]
    """The same of alerts of the stream."""

    @property
    def missing(self) -> list[str]:
        """What was not there: a sign, or agreement of rules and stream, within two looks."""
        unseen = [name for name, rows in self.seen.items() if not rows]
        names = sorted(self.firing.keys() | self.raised.keys())
        return unseen + [f"rule and stream about {name}" for name in names if abs(self.firing.get(name, -1e9) - self.raised.get(name, 1e9)) > 2 * EVERY_S]


class Look:
    """Looks at dashboards as an operator does who was there.

    Args:
        played: the demonstration.
        influx, token: where it is stored.
        seconds: how long it took, real time.
    """

    def __init__(self, played: Played, influx: Influx, token: str, seconds: float) -> None:
        self._played, self._influx, self._token, self._seconds = played, influx, token, seconds
        self._queries = list(queries(played.config))

    def at(self, incident: Injected) -> Shown:
        """Everything about one trouble."""
        begins_ms, ends_ms = (self._played.begun_ms + share * self._seconds * 1000 for share in (incident.begins, incident.ends))
        long = ends_ms - begins_ms >= LONG_S * 1000 and SIGNS[incident.run] is _FAILING
        signs = (*SIGNS[incident.run], *(_LONG if long else ()))
        seen = {sign.name: self._rows(sign, incident.run, begins_ms, ends_ms + _AFTER_MS) for sign in signs}
        return Shown(incident, seen, self._firing(incident.run, begins_ms, ends_ms), self._raised(incident.run, begins_ms, ends_ms))

    def _ask(self, query: Query, run: str, end_ms: float) -> Sequence[Row]:
        chosen = everything(self._played.config, RUN) | {"target": [run]}
        range_s = int((end_ms - self._played.begun_ms) / 1000) + 60
        return asked(self._influx, self._token, substituted(query.text, chosen, end_ms=int(end_ms), range_s=range_s))

    def _rows(self, sign: Sign, run: str, begins_ms: float, ends_ms: float) -> int:
        query = next(q for q in self._queries if (q.file, q.where, q.kind) == (f"routecast-{sign.board}", sign.where, sign.kind))
        rows = [row for row in self._ask(query, run, ends_ms) if row.get("target", run) == run and run in (row.get("title") or run)]
        settled_ms = self._played.begun_ms + _SETTLED * self._seconds * 1000
        before = [float(row["_value"]) for row in rows if sign.kind == "timeseries" and settled_ms <= _at_ms(row) < begins_ms]
        usual = statistics.median(before) if before else 0.0
        first_ms = begins_ms - (0 if sign.kind == "timeseries" else _BEFORE_MS)
        return sum(sign.says(row, usual) for row in rows if first_ms <= _at_ms(row) <= ends_ms)

    def _firing(self, run: str, begins_ms: float, ends_ms: float) -> dict[str, float]:
        """Rules are looked at as often as Grafana does."""
        found: dict[str, float] = {}
        rules = [q for q in self._queries if q.kind == "rule" and "pipeline" not in q.file]
        for at_ms in range(int(begins_ms) + EVERY_S * 1000, int(ends_ms) + 2 * _MINUTE_MS, EVERY_S * 1000):
            for rule in rules:
                name = rule.where.removeprefix("routecast-")
                if name not in found and any(row["target"] == run and float(row["_value"]) > 0 for row in self._ask(rule, run, at_ms)):
                    found[name] = (at_ms - begins_ms) / 1000
        return found

    def _raised(self, run: str, begins_ms: float, ends_ms: float) -> dict[str, float]:
        (log,) = [q for q in self._queries if (q.file, q.where) == ("routecast-alerts", "What was said")]
        found: dict[str, float] = {}
        for row in reversed(self._ask(log, run, ends_ms + _MINUTE_MS)):
            if row["target"] == run and row["state"] != "cleared" and _at_ms(row) >= begins_ms:
                found.setdefault(f"{row['kind'].replace('_', '-')}-{row['severity']}", (_at_ms(row) - begins_ms) / 1000)
        return found


def _at_ms(row: Row) -> float:
    return dt.datetime.fromisoformat(row["_time"]).timestamp() * 1000


def table(shown: Sequence[Shown]) -> str:
    """Trouble → what was seen where → rules."""
    lines: list[str] = []
    for found in shown:
        lines.append(f"{found.incident.run}: {found.incident.label}")
        lines += [f"  {rows:5} rows  {name}" for name, rows in found.seen.items()]
        lines += [f"  {after_s:5.0f} s     rule {name}" for name, after_s in sorted(found.firing.items(), key=lambda item: item[1])]
        lines += [f"  {after_s:5.0f} s     alert of the stream: {name}" for name, after_s in found.raised.items()]
    return "\n".join(lines)


def looked(played: Played, influx: Influx, token: str, seconds: float) -> list[Shown]:
    """All troubles."""
    look = Look(played, influx, token, seconds)
    return [look.at(incident) for incident in INCIDENTS]
