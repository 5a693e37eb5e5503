"""Five kinds of panels, as all dashboards have them: a figure, series over time, states over time, a table, a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from grafana_foundation_sdk.builders import common as make
from grafana_foundation_sdk.builders import dashboard as making
from grafana_foundation_sdk.builders import heatmap as heatmaps
from grafana_foundation_sdk.builders import stat as stats
from grafana_foundation_sdk.builders import statetimeline, table, timeseries
from grafana_foundation_sdk.cog import builder as cog
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import common, dashboard, heatmap

from routecast.dashboards.influx.schema import LATENCY_HIST
from routecast.dashboards.points.scores import CODES

SOURCE: Final = common.DataSourceRef(type_val="influxdb", uid="${datasource}")
POINTS: Final = 1000
"""Of every panel, whatever its width: all of them take windows of the same length."""
STATES: Final = {"ok": "green", "degraded": "yellow", "recovering": "blue", "rate_limited": "orange", "open": "red", "drained": "purple", "unknown": "text"}
STATE_CODES: Final = {str(state): code for state, code in CODES.items()}
SEVERITIES: Final = {"critical": "red", "high": "orange", "medium": "yellow", "low": "blue", "info": "text"}

_FURTHER: Final = "This target"

Marks = Sequence[tuple[float, str]]
"""Colours from a value on; below the first one green."""
Built = TypeVar("Built", bound=Any)


class Flux(variants.Dataquery, cog.Builder[variants.Dataquery]):
    """A query of a panel."""

    def __init__(self, text: str, name: str = "A") -> None:
        self._query = {"refId": name, "datasource": {"type": "influxdb", "uid": "${datasource}"}, "query": text}

    def build(self) -> variants.Dataquery:
        """It is one."""
        return self

    def to_json(self) -> dict[str, Any]:
        """As Grafana has it."""
        return self._query


def stat(title: str, about: str, query: str, unit: str, *, marks: Marks = (), decimals: int | None = None, width: int = 4, none: str = "–") -> stats.Panel:
    """One figure, with its course behind it where the query is a series."""
    panel = _common(stats.Panel(), title, about, [query], unit, decimals).span(width).height(4).no_value(none).thresholds(_steps(marks))
    reduced = make.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    mode = common.BigValueColorMode.VALUE if marks else common.BigValueColorMode.NONE
    return panel.reduce_options(reduced).color_mode(mode).graph_mode(common.BigValueGraphMode.AREA).text_mode(common.BigValueTextMode.VALUE)


def series(
    title: str,
    about: str,
    query: str,
    unit: str,
    *,
    label: str,
    stacked: str = "",
    most: float | None = None,
    width: int = 12,
    to_target: bool = False,
    least: float | None = 0,
    more: Sequence[str] = (),
) -> timeseries.Panel:
    """Lines over time, named by a label; `stacked` is `normal` or `percent`."""
    panel = _common(timeseries.Panel(), title, about, [query, *more], unit, None).span(width).height(8)
    panel.display_name("${__field.labels." + label + "}").tooltip(_tooltip()).legend(_legend()).show_points(common.VisibilityMode.NEVER).line_width(1)
    panel.span_nulls(600_000).fill_opacity(60 if stacked else 8)
    if stacked:
        panel.stacking(make.StackingConfig().mode(common.StackingMode(stacked)).group("A"))
    if least is not None:
        panel.min(least)
    if most is not None:
        panel.max(most)
    return panel.data_links([_to_target("${__field.labels.target}")]) if to_target else panel


def timeline(
    title: str, about: str, query: str, *, label: str, colours: Mapping[str, str], codes: Mapping[str, int] | None = None, width: int = 24, height: int = 10
) -> statetimeline.Panel:
    """Which of a few texts held when; the query gives them, or their codes."""
    panel = _common(statetimeline.Panel(), title, about, [query], "none", None).span(width).height(height)
    panel.display_name("${__field.labels." + label + "}").mappings([_mapped(colours, codes)]).merge_values(True).show_value(common.VisibilityMode.NEVER)
    return panel.tooltip(_tooltip()).legend(_legend()).fill_opacity(80).data_links([_to_target("${__field.labels.target}")])


def rows(
    title: str,
    about: str,
    queries: Sequence[str],
    units: Mapping[str, str],
    *,
    sort: str = "",
    width: int = 24,
    height: int = 9,
    colours: Mapping[str, Mapping[str, str]] | None = None,
    names: Mapping[str, str] | None = None,
) -> table.Panel:
    """A table; several queries are joined by the columns that they share. `units` and `names` are by column."""
    panel = _common(table.Panel(), title, about, queries, "none", None).span(width).height(height).filterable(True)
    if len(queries) > 1:
        panel.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    for column, unit in units.items():
        panel.override_by_name(column, [_property("unit", unit)])
    for column, mapped in (colours or {}).items():
        panel.override_by_name(column, [_property("mappings", [_mapped(mapped)]), _property("custom.cellOptions", {"type": "color-text"})])
    for column, name in (names or {}).items():
        panel.override_by_name(column, [_property("displayName", name)])
    panel.override_by_name("target", [_property("links", [{"title": _FURTHER, "url": _target_url("${__value.raw}")}])])
    return panel.sort_by([make.TableSortByFieldState().display_name(sort).desc(True)]) if sort else panel


def heat_map(title: str, about: str, points: str, *, width: int = 12) -> heatmaps.Panel:
    """Bars of `latency_hist` over time."""
    names = ", ".join(f'{name}: "{name.removeprefix("le_").lstrip("0").replace("_", ".")}"' for name in LATENCY_HIST.field_names if name != "le_inf")
    query = f"""{points}
  |> group(columns: ["_field"])
  |> aggregateWindow(every: v.windowPeriod, fn: sum, createEmpty: false)
  |> group()
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> drop(columns: ["_start", "_stop"])
  |> rename(columns: {{{_padded(names)}, le_inf: "longer"}})"""
    panel = _common(heatmaps.Panel(), title, about, [query], "short", None).span(width).height(8).calculate(False).cell_gap(0)
    colours = heatmaps.HeatmapColorOptions().mode(heatmap.HeatmapColorMode.SCHEME).scheme("Turbo").steps(64).fill("dark-orange").exponent(0.5)
    panel.color(colours).y_axis(heatmaps.YAxisConfig().unit("s").reverse(False)).filter_values(heatmaps.FilterValueRange().le(1e-9))
    return panel.rows_frame(heatmaps.RowsHeatmapOptions().layout(common.HeatmapCellLayout.LE)).tooltip(
        heatmaps.HeatmapTooltip().mode(common.TooltipDisplayMode.SINGLE)
    )


def _padded(names: str) -> str:
    """A bound below a second begins with its zero."""
    return names.replace('".', '"0.')


def _common(panel: Built, title: str, about: str, queries: Sequence[str], unit: str, decimals: int | None) -> Built:
    targets = [Flux(query, chr(ord("A") + number)) for number, query in enumerate(queries)]
    panel.title(title).description(about).datasource(SOURCE).targets(targets).unit(unit).max_data_points(POINTS).interval("10s").transparent(False)
    if decimals is not None:
        panel.decimals(decimals)
    return panel


def _steps(marks: Marks) -> making.ThresholdsConfig:
    steps = [dashboard.Threshold(value=None, color="green"), *(dashboard.Threshold(value=value, color=colour) for value, colour in marks)]
    return making.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _mapped(colours: Mapping[str, str], codes: Mapping[str, int] | None = None) -> dashboard.ValueMap:
    keys = {text: text if codes is None else str(codes[text]) for text in colours}
    return dashboard.ValueMap({keys[text]: dashboard.ValueMappingResult(text=text, color=colour, index=i) for i, (text, colour) in enumerate(colours.items())})


def _property(name: str, value: object) -> dashboard.DynamicConfigValue:
    return dashboard.DynamicConfigValue(id_val=name, value=value)


def _tooltip() -> make.VizTooltipOptions:
    return make.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)


def _legend() -> make.VizLegendOptions:
    return make.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM).show_legend(True)


def _to_target(name: str) -> making.DashboardLink:
    return making.DashboardLink(_FURTHER).url(_target_url(name))


def _target_url(name: str) -> str:
    """One click further: the same time, the same choices, this target."""
    kept = "${__url_time_range}&${datasource:queryparam}&${service:queryparam}&${window:queryparam}"
    return f"/d/routecast-target?{kept}&var-target={name}"
