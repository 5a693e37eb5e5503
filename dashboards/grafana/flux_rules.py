"""What a query in Flux must not do: most of it works on a small store, and takes minutes or gives wrong figures on a large one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from routecast.dashboards.influx.schema import MEASUREMENTS

RUN: Final = "run"
"""Tag of every point in the bucket of replays."""
_BY_NAME: Final = {measurement.name: measurement for measurement in MEASUREMENTS}
_TAGS: Final = frozenset(tag for measurement in MEASUREMENTS for tag in measurement.tag_names) | {RUN}
_FIELDS: Final = frozenset(field for measurement in MEASUREMENTS for field in measurement.field_names)
_SIDED: Final = re.compile(r"(\w+)_[a-z]")
"""A column after a join: its name, and which side it comes from."""
_STAGE: Final = re.compile(r"\|>\s*(\w+)\s*\(([^|]*)")
_SELECTORS: Final = frozenset({"max", "min", "last", "first"})
_FEW: Final = _SELECTORS | {"sum", "mean", "count", "reduce", "top", "bottom", "limit"}


class Wrong(NamedTuple):
    """What is wrong with a query."""

    rule: str
    what: str
    mend: str


def flux_flaws(query: str, *, series: bool) -> Iterator[Wrong]:
    """Everything that is wrong; `series`: whether its final frame must have times and values, as graphs and alert rules need."""
    yield from _unknown_names(query)
    if re.search(r'group\(columns:\s*\[[^\]]*"_time"', query):
        yield Wrong("grouping by time", "a table for every moment takes minutes and gigabytes", "aggregateWindow, then group by tags")
    yield from _late_selectors(query)
    yield from _pivots(query, series=series)
    for chain in query.split("from(")[1:]:
        windows = re.findall(r"aggregateWindow\(([^)]*)\)", chain)
        if not all("timeSrc" in window for window in windows[:-1]):
            yield Wrong("two windows", "the second aggregateWindow shifts everything by one window", 'give the first one timeSrc: "_start"')


def _unknown_names(query: str) -> Iterator[Wrong]:
    mend = "`routecast influx schema` prints every name"
    named = re.findall(r'r\._measurement == "([^"]*)"', query)
    strange = [measurement for measurement in named if measurement not in _BY_NAME]
    if strange:
        yield Wrong("measurement", f"there is no measurement {strange[0]!r}", mend)
        return
    known = [_BY_NAME[name] for name in named if name in _BY_NAME]
    fields, tags = {f for m in known for f in m.field_names}, {t for m in known for t in m.tag_names} | {RUN}
    for field in re.findall(r'r\._field == "([^"]*)"', query):
        if field not in fields:
            yield Wrong("field", f"{' and '.join(sorted(set(named)))} have no field {field!r}", mend)
    made = set(re.findall(r"(\w+):", query)) | set(re.findall(r'"(\w+)"', query))
    for name in sorted(set(re.findall(r"\br\.([a-z]\w*)", query))):
        side = _SIDED.fullmatch(name) if "join(" in query else None
        if not {name, side[1] if side else name} & (fields | tags | made):
            where = "another measurement" if name in _FIELDS | _TAGS else "no measurement"
            yield Wrong("tag", f"{name!r} is a tag or field of {where}", mend)


def _late_selectors(query: str) -> Iterator[Wrong]:
    """Selectors of single rows that come after many series were put together: they cannot be left to the storage then."""
    together = few = False
    for name, arguments in _STAGE.findall(query):
        chosen = name in _SELECTORS or (name == "aggregateWindow" and re.search(r"fn:\s*(max|min|last|first)\b", arguments))
        if chosen and together:
            yield Wrong("late selector", f"{name} after group reads every row of many series", "choose in each series first, then group")
        if name == "range":
            few = together = False
        elif name == "group":
            together = not few
        elif name in _FEW:
            few, together = True, False


def _pivots(query: str, *, series: bool) -> Iterator[Wrong]:
    stages = _STAGE.findall(query)
    names = [name for name, _ in stages]
    if "pivot" not in names:
        return
    last = len(names) - 1 - names[::-1].index("pivot")
    if series and not any("_value" in arguments for _, arguments in stages[last + 1 :]):
        yield Wrong("pivot at the end", "graphs and alert rules need a column _value", "map to _value after the pivot, then group by tags")
    named = re.findall(r'r\._field == "([^"]*)"', query)
    measurements = [_BY_NAME[name] for name in re.findall(r'r\._measurement == "([^"]*)"', query) if name in _BY_NAME]
    kinds = {field.kind for measurement in measurements for field in measurement.fields if field.name in named or not named}
    before = names[:last]
    if len(kinds) > 1 and "group" in before and "toFloat" not in before and 'columnKey: ["_field"]' in stages[last][1] and not _reduced(before):
        yield Wrong("pivot after group", "fields of several types collide in one table", "pivot first, then group; or toFloat() before")


def _reduced(before: list[str]) -> bool:
    """Whether fields of one type are left, as sums of counts are."""
    return bool(_FEW & set(before[before.index("group") :]))
