"""Every query of the dashboards and alert rules, as Grafana would send it: for the study and the tests of the dashboards."""

from __future__ import annotations

import csv
import datetime as dt
import re
import urllib.request
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from routecast.dashboards.grafana.linting import panels
from routecast.dashboards.grafana.rules import rule_groups
from routecast.dashboards.grafana.shipped import dashboards, filled_in
from routecast.dashboards.influx.schema import ALL, UNKNOWN
from routecast.models.config import Config, Influx

Row = dict[str, str]


class Query(NamedTuple):
    """One query and where it stands."""

    file: str
    kind: str
    """Of the panel; `variable`, `annotation` or `rule`."""
    where: str
    text: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.file} · {self.where}"


def queries(config: Config) -> Iterator[Query]:
    """All of them, with what `export` fills in."""
    for file, shipped in dashboards().items():
        board = filled_in(shipped, config)
        filled = {v["name"]: v["query"] for v in board["templating"]["list"] if v["type"] == "constant"}
        found = [(panel["type"], panel["title"], target["query"]) for panel in panels(board) for target in panel["targets"]]
        found += [("variable", v["name"], v["query"]["query"]) for v in board["templating"]["list"] if v["type"] == "query"]
        found += [("annotation", mark["name"], mark["target"]["query"]) for mark in board["annotations"]["list"]]
        yield from (Query(file.removesuffix(".json"), kind, where, _with(text, filled)) for kind, where, text in found)
    for group in rule_groups(config):
        yield from (Query(group["name"], "rule", rule["uid"], rule["data"][0]["model"]["query"]) for rule in group["rules"])


def _with(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def everything(config: Config, *runs: str) -> dict[str, str | list[str]]:
    """What people choose who choose nothing."""
    tags = {name: sorted({str(getattr(target, name) or UNKNOWN) for target in config.target}) for name in ("provider", "model", "region")}
    return {**tags, "target": [target.id for target in config.target], "service": ALL, "window": "auto", "run": list(runs) or ["none"]}


def substituted(query: str, chosen: Mapping[str, str | list[str]], *, end_ms: int, range_s: int, points: int = 1000) -> str:
    """The query with what Grafana puts in: variables, the range of time, the time between two points; `now()` is the end of the range."""
    for name, value in chosen.items():
        many = [value] if isinstance(value, str) else value
        escaped = [re.sub(r"([\\^$*+?.()|\[\]{}/])", r"\\\1", one) for one in many]
        query = query.replace(f"${{{name}:regex}}", escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})").replace(f"${{{name}}}", many[0])
    left = re.findall(r"\$\{[^}]*\}", query)
    if left:
        raise ValueError(f"nothing stands for {left[0]} in {query}")
    period_s = max(10, range_s // points // 10 * 10)
    macros = {"v.timeRangeStart": _time(end_ms - range_s * 1000), "v.timeRangeStop": _time(end_ms), "v.windowPeriod": f"{period_s // 60}m{period_s % 60}s"}
    for macro, value in macros.items():
        query = query.replace(macro, value)
    imports, rest = re.findall(r'^import ".*"$', query, re.MULTILINE), re.sub(r'^import ".*"\n', "", query, flags=re.MULTILINE)
    return "\n".join([*imports, f"option now = () => {_time(end_ms)}", rest])


def _time(ms: int) -> str:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def asked(settings: Influx, token: str, query: str) -> list[Row]:
    """The rows that InfluxDB answers."""
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/vnd.flux", "Accept": "application/csv"}
    request = urllib.request.Request(f"{settings.url}/api/v2/query?org={settings.organisation}", query.encode(), headers)  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310 - our own address
        text: str = answer.read().decode()
    return [row for table in text.split("\r\n\r\n") for row in csv.DictReader(table.strip("\r\n").splitlines())]
