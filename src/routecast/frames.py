"""Recordings as pandas DataFrames: `load_events`, `load_decisions`, `load_windows`.

Columns, types and units are those of `routecast.models.tables`; docs/data.md explains them. Unknown is NaN, NaT or a missing category, never 0.
Memory: the columns, and one part of each partition of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from routecast.analytics.tables.columns import Cells, Codes
from routecast.analytics.tables.decisions import DecisionColumns
from routecast.analytics.tables.events import EventColumns, Place
from routecast.analytics.tables.pairing import Pairing
from routecast.analytics.tables.windows import WindowColumns
from routecast.models.config import Config
from routecast.models.errors import CheckFailed, ConfigError, RoutecastError
from routecast.models.events import Event, Feedback
from routecast.models.metrics import WindowRecord
from routecast.models.tables import DECISIONS, EVENTS, WINDOWS, Column
from routecast.streams import topics
from routecast.streams.recordings.attempts import recorded_config
from routecast.streams.recordings.decisions import BATCH, Told, decision_batches, silent
from routecast.streams.recordings.orders import recorded_orders
from routecast.streams.recordings.playback import Playback
from routecast.streams.recordings.ranges import Placed, Range, in_time
from routecast.streams.recordings.recording import Recording
from routecast.streams.recordings.replay import readable
from routecast.streams.recordings.windows import closed_windows

Bound = datetime | float | Mapping[int, int] | None
"""A time (with a time zone, or epoch milliseconds), or an offset of each partition; None: none."""

_RECORDS = 2000
_EXACT = 2.0**53
_SCORED = ("quality", "satisfaction")


def load_decisions(path: str | Path, *, begin: Bound = None, end: Bound = None, tell: Told | None = None) -> pd.DataFrame:
    """The table `decisions` of a recording: one row for each call to a target, in the order of their starts.

    Args:
        path: what `routecast record` or `routecast import` wrote.
        begin: only what was appended at or after it; a call lacks what of it lies outside.
        end: only what was appended before it.
        tell: told now and then how far it is.

    Raises ConfigError, DecodeError, CheckFailed where the file cannot be read.
    """
    with Recording(Path(path)) as recording:
        config, pairing = recorded_config(recording), Pairing()
        columns = DecisionColumns({target.id: target for target in config.target} if config else {}, recorded_orders(recording))
        batches = decision_batches(recording, pairing, columns, Range(_bound(begin), _bound(end)), tell or silent)
        frame = _frame(DECISIONS, batches, columns.codes)
    return _judged(frame.sort_values("started_at", kind="stable", ignore_index=True), pairing.feedback)


def load_events(path: str | Path, *, begin: Bound = None, end: Bound = None, tell: Told | None = None) -> pd.DataFrame:
    """The table `events` of a recording: one row for each event that can be read, in the order of append times.

    Arguments and errors are those of `load_decisions`.
    """
    columns = EventColumns()
    with Recording(Path(path)) as recording:
        records = in_time(recording, topics.EVENTS, Range(_bound(begin), _bound(end)))
        return _frame(EVENTS, _events(records, columns, tell or silent), columns.codes)


def load_windows(path: str | Path, *, begin: Bound = None, end: Bound = None, tell: Told | None = None) -> pd.DataFrame:
    """The table `windows` of a recording, computed from its events by the code that closes windows live; ordered by window, start and subject.

    Arguments and errors are those of `load_decisions`; CheckFailed too where the file holds no configuration.
    """
    columns = WindowColumns()
    with Recording(Path(path)) as recording:
        config = recorded_config(recording)
        if config is None:
            raise CheckFailed(f"{str(path)!r} holds no configuration that this version reads: windows need one; record again")
        playback = Playback(recording, Range(_bound(begin), _bound(end)), tell or silent)
        frame = _frame(WINDOWS, _windows(playback, config, columns), columns.codes)
    keys = ["window", "starts_at", "kind", "id"]
    frame = frame[~frame.duplicated(keys, keep="last")]
    return frame[(frame["requests"] > 0) | frame["cpu"].notna()].sort_values(keys, ignore_index=True)


def write_table(frame: pd.DataFrame, out: Path) -> None:
    """Write a table as .parquet or .csv. In CSV times are ISO 8601, a set is its ids with blanks between, and unknown is an empty cell.

    Raises RoutecastError where the file cannot be written.
    """
    try:
        if out.suffix == ".parquet":
            frame.to_parquet(out, index=False)
            return
        if "allowed" in frame:
            frame = frame.assign(allowed=frame["allowed"].map(" ".join, na_action="ignore"))
        frame = frame.assign(**{name: frame[name].astype("Int64") for name in frame.columns if _whole(frame[name])})
        frame.to_csv(out, index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ")
    except OSError as error:
        raise RoutecastError(f"{str(out)!r} cannot be written: {error.strerror or error}; give another file, or make room") from error


def _whole(cells: pd.Series[Any]) -> bool:
    """Whether numbers that are floats because some are unknown are counts: `200`, not `200.0`."""
    if cells.dtype != np.float64:
        return False
    known = cells.to_numpy()[~np.isnan(cells.to_numpy())]
    return bool(np.all(np.abs(known) < _EXACT) and np.all(known == np.rint(known)))


def _events(records: Iterator[Placed], columns: EventColumns, tell: Told) -> Iterator[dict[str, Cells]]:
    events: list[Event] = []
    places: list[Place] = []
    done = 0
    for append_ms, partition, record in records:
        found, _ = readable(record.value)
        events += found
        places += [Place(partition, record.offset, append_ms)] * len(found)
        if len(events) >= BATCH:
            done += len(events)
            tell(done, append_ms)
            yield columns.batch(events, places)
            events, places = [], []
    yield columns.batch(events, places)


def _windows(playback: Playback, config: Config, columns: WindowColumns) -> Iterator[dict[str, Cells]]:
    records: list[WindowRecord] = []
    for record in closed_windows(playback, config):
        records.append(record)
        if len(records) >= _RECORDS:
            yield columns.batch(records, playback.end_ms)
            records = []
    yield columns.batch(records, playback.end_ms)


def _frame(table: Sequence[Column], batches: Iterator[dict[str, Cells]], codes: Mapping[str, Codes]) -> pd.DataFrame:
    """Batches become columns one by one, so that no more than one column exists twice."""
    parts: dict[str, list[Any]] = {column.name: [] for column in table}
    for batch in batches:
        for column in table:
            cells = batch[column.name]
            parts[column.name].append(pd.array(cells, dtype="str") if column.kind == "text" else cells)
    return pd.DataFrame({column.name: _series(column, parts.pop(column.name), codes) for column in table}, copy=False)


def _series(column: Column, parts: list[Any], codes: Mapping[str, Codes]) -> Any:
    if column.kind == "text":
        return pd.concat([pd.Series(part) for part in parts], ignore_index=True)
    cells = np.concatenate(parts)
    if column.kind == "category":
        return pd.Categorical.from_codes(cells, pd.Index(codes[column.name].names, dtype="str"))
    return pd.DatetimeIndex(cells).tz_localize("UTC") if column.kind == "time" else cells


def _judged(frame: pd.DataFrame, feedback: Sequence[Feedback]) -> pd.DataFrame:
    """What feedback said last of a request at a target goes to its last attempt there."""
    if not feedback:
        return frame
    said = pd.DataFrame([(one.request_id, one.target, one.quality, one.satisfaction) for one in feedback], columns=["request_id", "target", *_SCORED])
    said = said.groupby(["request_id", "target"], sort=False)[list(_SCORED)].last().astype(float)
    asked = frame.loc[frame["request_id"].isin(said.index.get_level_values(0)), ["request_id", "target"]].astype({"target": "str"})
    asked = asked[~asked.duplicated(keep="last")]
    found = asked.join(said, on=["request_id", "target"])
    for name in _SCORED:
        known = found[name].dropna()
        frame.loc[known.index, name] = known
    return frame


def _bound(bound: Bound) -> float | Mapping[int, int] | None:
    if isinstance(bound, str):  # a notebook is not type-checked
        raise ConfigError(f"{bound!r} is no time: give a datetime with a time zone, epoch milliseconds, or an offset of each partition")
    if not isinstance(bound, datetime):
        return bound
    if bound.tzinfo is None:
        raise ConfigError(f"{bound.isoformat()!r} has no time zone: give one, for example datetime(…, tzinfo=UTC)")
    return bound.timestamp() * 1000.0
