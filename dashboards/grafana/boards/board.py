"""What all dashboards share: variables, marks on the time axis, links to each other, and how they look as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as making
from grafana_foundation_sdk.cog import builder as cog
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from routecast.dashboards.grafana.boards.flux import OF_SERVICE, chosen, stored
from routecast.dashboards.grafana.boards.panels import SOURCE, Flux
from routecast.dashboards.influx.schema import ALL, ROUTER_EVENT
from routecast.models.config import Influx, Objective

TAG: Final = "routecast"
SCHEMA_VERSION: Final = 39
"""Of classic dashboards; Grafana 10 and newer read it."""

Panels = Sequence[cog.Builder[dashboard.Panel]]
Variable = cog.Builder[dashboard.VariableModel]


def board(uid: str, title: str, about: str, sections: Sequence[tuple[str, Panels]], variables: Sequence[Variable], *, since: str = "now-6h") -> dict[str, Any]:
    """A dashboard as Grafana reads it from a file; `uid` without the part that all have."""
    made = making.Dashboard(f"routecast · {title}").uid(f"{TAG}-{uid}").description(about).tags([TAG]).readonly().time(since, "now").refresh("30s")
    made.timezone("browser").tooltip(dashboard.DashboardCursorSync.CROSSHAIR).variables([*_constants(), *variables])
    for mark in _marks():
        made.annotation(mark)
    made.link(_links())
    for name, panels in sections:
        made.with_row(making.Row(name))
        for panel in panels:
            made.with_panel(panel)
    plain: dict[str, Any] = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    for number, panel in enumerate(plain["panels"], 1):
        panel["id"] = number
        for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", ()):
            for name in link.keys() - {"title", "url"}:  # the builders take links of panels for those of dashboards
                del link[name]
    for variable in plain["templating"]["list"]:
        _trim(variable)
    for shown in (*plain["annotations"]["list"], *plain["links"]):
        shown.pop("placement")  # beside the variables, not in a menu
    return plain | {"schemaVersion": SCHEMA_VERSION}


def _trim(variable: dict[str, Any]) -> None:
    """The builders give every variable what only intervals have; what is filled in is no matter of links."""
    for name in ("auto", "auto_min", "auto_count"):
        variable.pop(name, None)
    if variable["type"] == "constant":
        variable["skipUrlSync"] = True


def usual(*, one_target: bool = False) -> list[Variable]:
    """What most dashboards let people choose."""
    kept = (("provider", "Provider"), ("model", "Model"), ("region", "Region"))
    narrowing = [] if one_target else [_tags(name, label, OF_SERVICE) for name, label in kept]
    where = OF_SERVICE if one_target else f"{OF_SERVICE} and " + " and ".join(f"r.{name} =~ /^${{{name}:regex}}$/" for name, _ in kept)
    return [*_service(), *narrowing, _tags("target", "Target", where, several=not one_target), _window()]


def fleet() -> list[Variable]:
    """For dashboards about whole services."""
    return [*_service(), _tags("target", "Target", OF_SERVICE), _window()]


def _constants() -> list[Variable]:
    """The data source; what `routecast grafana export` fills in from the configuration."""
    objective = Objective()
    filled = {"prefix": Influx().bucket_prefix, "allowed": f"{1 - objective.success_ratio:g}", "within_s": f"{objective.within_ms / 1000!r}"}
    source = making.DatasourceVariable("datasource").label("Data source").type("influxdb")
    return [source, *(making.ConstantVariable(name).label(name).value(text) for name, text in filled.items())]


def _service() -> list[Variable]:
    return [_tags("service", "Service", "", several=False).include_all(True).all_value(ALL).current(_all(ALL))]


def _tags(name: str, label: str, where: str, *, several: bool = True) -> making.QueryVariable:
    """The values of a tag among the windows of the range."""
    only = f" and {where}" if where else ""
    query = f"""import "influxdata/influxdb/schema"
{chosen(where)}schema.tagValues(
  bucket: "${{prefix}}7d",
  tag: "{name}",
  predicate: (r) => r._measurement == "provider_window" and r._field == "requests" and r.target != "{ALL}"{only},
  start: v.timeRangeStart,
  stop: v.timeRangeStop,
)"""
    return _queried(name, label, query, several=several)


def _queried(name: str, label: str, query: str, *, several: bool) -> making.QueryVariable:
    asked: dict[str, object] = {"refId": name, "query": query}
    made = making.QueryVariable(name).label(label).datasource(SOURCE).query(asked)
    made.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(dashboard.VariableSort.ALPHABETICAL_ASC).multi(several)
    return made.include_all(True).current(_all()) if several else made


def _all(value: str = "$__all") -> dashboard.VariableOption:
    return dashboard.VariableOption(text="All", value="$__all" if value == ALL else value, selected=True)


def _window() -> making.CustomVariable:
    """`auto` takes the shortest that the range of time allows."""
    first = dashboard.VariableOption(text="auto", value="auto", selected=True)
    return making.CustomVariable("window").label("Window").values("auto,10s,1m,1h").current(first)


def runs() -> list[Variable]:
    """What was replayed, however long ago."""
    query = """import "influxdata/influxdb/schema"
schema.tagValues(bucket: "${prefix}replay", tag: "run", predicate: (r) => true, start: 1970-01-01T00:00:00Z)"""
    return [*_service_of_runs(), _queried("run", "Run", query, several=True), _window()]


def _service_of_runs() -> list[Variable]:
    query = f"""import "influxdata/influxdb/schema"
schema.tagValues(
  bucket: "${{prefix}}replay",
  tag: "service",
  predicate: (r) => r._measurement == "provider_window" and r.target != "{ALL}",
  start: 1970-01-01T00:00:00Z,
)"""
    return [_queried("service", "Service", query, several=False).include_all(True).all_value(ALL).current(_all(ALL))]


def _marks() -> list[making.AnnotationQuery]:
    """Alerts with their length, anomalies, and what people did; states are many, and off at first."""
    kinds = (
        ("Alerts", "alert", "red", True),
        ("Anomalies", "anomaly", "orange", True),
        ("People", "control|marker", "blue", True),
        ("States", "state", "yellow", False),
    )
    return [_mark(*kind) for kind in kinds]


def _mark(name: str, kinds: str, colour: str, enabled: bool) -> making.AnnotationQuery:  # noqa: FBT001 - a column of the table above
    query = f"""{stored(ROUTER_EVENT, where=f"r.kind =~ /^({kinds})$/")}
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> map(fn: (r) => ({{_time: r._time, timeEnd: r.end_ms, title: r.title, text: r.text, tags: r.severity}}))"""
    asked = Flux(query, "Anno").to_json()
    made = making.AnnotationQuery().name(name).datasource(SOURCE).enable(enabled).icon_color(colour)
    return made.target(_Target(asked))


class _Target(cog.Builder[Any]):
    """A query of an annotation."""

    def __init__(self, query: dict[str, Any]) -> None:
        self._query = query

    def build(self) -> Any:
        """As it is."""
        return self._query


def _links() -> making.DashboardLink:
    """All others, with the same time and choices."""
    made = making.DashboardLink("routecast").type(dashboard.DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
    return made.include_vars(True).keep_time(True).tooltip("Another view, of the same time and choice")
