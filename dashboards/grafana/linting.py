"""Whether dashboards and alert rules are as they must be: what Grafana would only show as an empty panel."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from routecast.dashboards.grafana.flux_rules import Wrong, flux_flaws
from routecast.dashboards.grafana.provisioning import files as provisioned
from routecast.dashboards.grafana.shipped import dashboards, text_of
from routecast.models.config import Config
from routecast.models.errors import ConfigError
from routecast.models.grafana import Flaw, Linted

UNITS: Final = frozenset({
    "none", "short", "percentunit", "percent", "s", "ms", "µs", "reqpm", "currencyUSD", "decmbytes", "dateTimeAsIso", "ops", "bytes", "string",
})  # fmt: skip
"""Units of Grafana that fit the registry's."""
SERIES: Final = frozenset({"timeseries", "state-timeline"})
_ON_TIME_CHANGE: Final = 2
_OWN: Final = re.compile(r"\$\{(\w+)")
_GRAFANAS: Final = ("__",)
_ELSEWHERE: Final = "save it from Grafana anew, or keep it elsewhere"
_QUERY: Final = re.compile(r"^( *)query: \|-?\n((?:\1 +.*\n|\n)*)", re.MULTILINE)

Texts = Mapping[str, str]
"""Files by name."""


def texts_in(folder: Path) -> dict[str, str]:
    """Dashboards and alert rules below a folder. Raises ConfigError where there are none, or one cannot be read."""
    found = sorted(path for path in folder.rglob("*") if path.suffix == ".json" or path.parent.name == "alerting")
    if not found:
        raise ConfigError(f"{str(folder)!r} holds neither dashboards (*.json) nor alert rules (alerting/*.yaml): `routecast grafana export` writes them")
    return {path.relative_to(folder).as_posix(): _text(path) for path in found}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
        raise ConfigError(f"{str(path)!r} {reason}: `routecast grafana export` writes it anew") from error


def shipped_texts(config: Config | None) -> dict[str, str]:
    """The dashboards of the package, and the rules that this configuration makes."""
    texts = {f"dashboards/{name}": text_of(dashboard) for name, dashboard in dashboards().items()}
    return texts | ({} if config is None else {name: text for name, text in provisioned(config).items() if name.startswith("alerting")})


def lint(texts: Texts) -> Linted:
    """Look at everything. Raises ConfigError for a file that is no dashboard in JSON."""
    boards = {name: _read(name, text) for name, text in texts.items() if name.endswith(".json")}
    uids = {str(board.get("uid")) for board in boards.values()}
    flaws = [flaw for name, board in boards.items() for flaw in _of_whole_board(name, board, uids)]
    rules = {name: text for name, text in texts.items() if not name.endswith(".json")}
    flaws += [flaw for name, text in rules.items() for flaw in _of_rules(name, text)]
    queries = sum(len(list(_queries(board))) for board in boards.values()) + sum(len(_QUERY.findall(text)) for text in rules.values())
    return Linted(files=len(texts), queries=queries, flaws=tuple(flaws))


def _read(name: str, text: str) -> dict[str, Any]:
    try:
        board: Any = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{name!r} is no JSON: {error}: `routecast grafana export` writes it anew") from error
    if not isinstance(board, dict) or not isinstance(board.get("panels"), list):
        raise ConfigError(f"{name!r} is JSON, but no dashboard: {_ELSEWHERE}")
    return board


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Everything but rows, and what is in rows that are closed."""
    found: list[dict[str, Any]] = []
    for panel in board.get("panels", ()):
        found += panel.get("panels", ()) if panel.get("type") == "row" else [panel]
    return found


def _variables(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = board.get("templating", {}).get("list", [])
    return found


def _queries(board: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Where it is, its text, and whether a graph is drawn of it."""
    for panel in panels(board):
        for target in panel.get("targets", ()):
            yield panel.get("title", ""), target.get("query", ""), panel["type"] in SERIES
    for variable in _variables(board):
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"], False
    for mark in board.get("annotations", {}).get("list", ()):
        yield mark["name"], mark.get("target", {}).get("query", ""), False


def _of_whole_board(name: str, board: Mapping[str, Any], uids: set[str]) -> list[Flaw]:
    """Of what Grafana itself would not read, no list of flaws is complete."""
    try:
        return list(_of_board(name, board, uids))
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(f"{name!r} is a dashboard of a shape that Grafana does not write ({type(error).__name__}: {error}): {_ELSEWHERE}") from error


def _of_board(name: str, board: Mapping[str, Any], uids: set[str]) -> Iterator[Flaw]:
    for where, wrong in (*_whole(board), *_of_panels(board, uids), *_of_variables(board), *_of_queries(board)):
        yield Flaw(file=name, where=where, rule=wrong.rule, what=wrong.what, mend=wrong.mend)


def _whole(board: Mapping[str, Any]) -> Iterator[tuple[str, Wrong]]:
    title = str(board.get("title", ""))
    if not board.get("uid"):
        yield title, Wrong("uid", "without a uid of its own it gets another one at every import", "give it one")
    if board.get("editable") is not False:
        yield title, Wrong("editable", "what is provisioned is lost when it is saved in the browser", 'set "editable": false')
    if not any(v["type"] == "datasource" and v["name"] == "datasource" and v.get("label") == "Data source" for v in _variables(board)):
        yield title, Wrong("data source", "there is no variable for the data source", 'add the variable datasource, label "Data source"')
    for link in board.get("links", ()):
        if not (link.get("keepTime") and link.get("includeVars")):
            yield str(link.get("title")), Wrong("link", "it forgets the time or what was chosen", "set keepTime and includeVars")


def _of_panels(board: Mapping[str, Any], uids: set[str]) -> Iterator[tuple[str, Wrong]]:
    for panel in panels(board):
        title = panel.get("title") or f"panel {panel.get('id')}"
        for what in ("title", "description"):
            if not panel.get(what):
                yield title, Wrong(what, f"the panel has no {what}", "say what it shows, in which unit, and of what")
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit")
        if unit not in UNITS:
            yield title, Wrong("unit", f"{unit!r} is no unit that the registry's fit" if unit else "figures have no unit", "see fieldConfig.defaults.unit")
        if not panel.get("targets"):
            yield title, Wrong("query", "the panel has no query", "add one, or remove the panel")
        sources = [panel.get("datasource", {}), *(target.get("datasource", {}) for target in panel.get("targets", ()))]
        if any(source.get("uid") != "${datasource}" for source in sources):
            yield title, Wrong("data source", "it goes to one data source, whichever is chosen", 'set uid "${datasource}"')
        for uid in re.findall(r"/d/([\w-]+)", json.dumps(panel)):
            if uid not in uids:
                yield title, Wrong("link", f"there is no dashboard {uid!r}", "link to the uid of one that is there")


def _of_variables(board: Mapping[str, Any]) -> Iterator[tuple[str, Wrong]]:
    for variable in _variables(board):
        if variable["type"] == "query" and variable.get("refresh") != _ON_TIME_CHANGE:
            yield variable["name"], Wrong("reload", "its values are those of the time when the page was opened", 'set "refresh": 2, on time range change')


def _of_queries(board: Mapping[str, Any]) -> Iterator[tuple[str, Wrong]]:
    known = {variable["name"] for variable in _variables(board)}
    for where, query, series in _queries(board):
        for wrong in flux_flaws(query, series=series):
            yield where, wrong
        for name in sorted(set(_OWN.findall(query)) - known):
            if not name.startswith(_GRAFANAS):
                yield where, Wrong("variable", f"there is no variable {name!r}", "define it, or use another one")


def _of_rules(name: str, text: str) -> Iterator[Flaw]:
    for found in _QUERY.finditer(text):
        uids = re.findall(r'uid: "?([\w-]+)', text[: found.start()])
        where = uids[-1] if uids else f"line {text[: found.start()].count(chr(10)) + 1}"
        query = re.sub(rf"^{found[1]}  ", "", found[2], flags=re.MULTILINE)
        wrongs = list(flux_flaws(query, series=True))
        if re.search(r"\$\{|\bv\.\w", query):
            wrongs.append(Wrong("variable", "alert rules know neither variables nor the range of a panel", "name the bucket and the range"))
        for wrong in wrongs:
            yield Flaw(file=name, where=where, rule=wrong.rule, what=wrong.what, mend=wrong.mend)
    for line in re.findall(r"^.*(?<!\$)\$labels.*$", "".join(re.findall(r"^ *labels:\n(?: {10,}.*\n)+", text, re.MULTILINE)), re.MULTILINE):
        what = "a single dollar in a label is taken for a variable of the environment"
        yield Flaw(file=name, where=line.strip(), rule="label", what=what, mend="write $$labels")
