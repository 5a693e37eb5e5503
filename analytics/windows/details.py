"""Details: every figure of every target, provider, service and the system, and the quantiles that routers judge deadlines by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Raw

from routecast.analytics.digits import significant
from routecast.analytics.fleet.quantiles import Quantiles
from routecast.analytics.insights.roster import Roster
from routecast.analytics.merge import Merge
from routecast.analytics.windows.columns import Columns, Ints
from routecast.analytics.windows.figures import described, quantiles_ms
from routecast.analytics.windows.groups import Groups
from routecast.analytics.windows.history import LENGTHS_MS, LONG, Closed, History
from routecast.analytics.windows.peaks import Peaks
from routecast.analytics.windows.period import Period
from routecast.analytics.windows.window import Window, WindowStats
from routecast.models.config import Config
from routecast.models.details import Details, WindowName
from routecast.models.insights import Direction, Metric, Recommendation, Subject
from routecast.models.metrics import WindowRecord
from routecast.models.rows import PANE_MS, TargetTotals
from routecast.models.snapshot import QUANTILES

LEAST_N: Final = 10
"""Fewer observations than this in five minutes give no quantiles."""

_OUTCOMES: Final = ("ok", "error", "timeout", "rate_limited", "cancelled", "caller_fault", "lost", "late")
_ENDED: Final = len(_OUTCOMES) - 2
_totals: Callable[[TargetTotals], tuple[int, ...]] = attrgetter("started", *_OUTCOMES)
_labels: Callable[[TargetTotals], tuple[str, ...]] = attrgetter("provider", "model", "service", "region")
_NAMED: Final = ("id", "provider", "model", "service", "region")
_json: Final = msgspec.json.Encoder()
_STEADY: Final = 100
"""A long window is described anew when it has moved by a hundredth of its length: 36 s of an hour, 14 min of a day."""
_FEW: Final = 100
"""With fewer subjects than this it is described anew every time: that takes 5 ms."""


class _Described(NamedTuple):
    """A window of all targets, by number, and of all groups: JSON."""

    start_ms: int
    end_ms: int
    subjects: tuple[Subject, ...]
    targets: list[Raw]
    groups: list[Raw]


class DetailsBuilder:
    """Keeps windows up to date and describes them.

    Everything is a function of merged rows and of the times of the updates: how events were spread over partitions, and the order
    rows came in, leave no trace. Of 1,000 targets on 4 partitions an update takes 70 ms, the description of a window 32, a record of all 8.

    Args:
        config: services and targets; a target that only events name is shown with the labels its events carry.
        begin_ms: see `History`.
        merge: what is known when it begins. Panes are kept from here on until they are closed, whatever the merge lets go of.
    """

    def __init__(self, config: Config, begin_ms: int = 0, merge: Merge | None = None) -> None:
        self._configured = {
            target.id: Subject(kind="target", id=target.id, provider=target.provider, model=target.model, service=target.service, region=target.region)
            for service in sorted(config.services)
            for target in config.targets_of(service)
        }
        self.roster = Roster(config)
        """Whose places in periods are state: they go with figures that somebody keeps by place."""
        self.history = History(begin_ms)
        merge = merge or Merge()
        for name in (*self._configured, *merge.target_totals()):
            self.history.number_of(name)
        self.history.take(merge)
        self.peaks = Peaks()
        self.targets: tuple[Subject, ...] = ()
        """By number."""
        self.groups = Groups(())
        self.recommendations: Mapping[str, Sequence[Recommendation]] = {}
        """By service, to be shown with its figures."""
        self.trends: Mapping[str, Mapping[Metric, Direction]] = {}
        """Where figures are going, by `Subject.key`."""
        self.closed: list[Closed] = []
        """Minutes that the last update closed."""
        self._quantiles: Mapping[str, Quantiles] | None = None
        self._windows: dict[WindowName, _Described] = {}
        self._due: list[WindowName] = []
        self.update(0.0, Merge())

    def update(self, at_ms: float, merge: Merge, totals: Mapping[str, TargetTotals] | None = None) -> None:
        """Advance to `at_ms`, epoch ms: windows end with the last pane that is over. `totals` are the merge's totals, for whoever has them.

        To be called every metrics interval, and at least every minute: rows that expired in between are missing.
        """
        totals = merge.target_totals() if totals is None else totals
        for name in totals:
            self.history.number_of(name)
        self.history.take(merge)
        self.closed = self.history.advance(int(at_ms) // PANE_MS * PANE_MS)
        names = list(self.history.numbers)
        known = [self._subject(place, name, totals.get(name)) for place, name in enumerate(names)]
        if known != list(self.targets):
            self.targets = tuple(known)
            self.groups = Groups(self.targets)
        self.peaks.follow(len(names), self.history.concurrency(), self.groups, (closed.start_ms for closed in self.closed))
        self._at_ms = at_ms
        nothing = TargetTotals("")
        self._totals: Ints = np.array([_totals(totals.get(name, nothing)) for name in names], np.int64)
        self._in_flight = self.history.in_flight()
        self._due = [name for name in LENGTHS_MS if self._stale(name)]
        self._group_details: list[Raw] = []
        self._quantiles = None

    @property
    def quantiles(self) -> Mapping[str, Quantiles]:
        """Per target, the quantiles of the five minutes before the last update; of 1,000 targets they take 15 ms when they are first asked for."""
        if self._quantiles is None:
            self._quantiles = _quantiles(self.history.window("5m").stats, list(self.history.numbers))
        return self._quantiles

    def _subject(self, place: int, name: str, said: TargetTotals | None) -> Subject:
        configured = self._configured.get(name)
        if configured is not None:
            return configured
        labels = [label or None for label in _labels(said)] if said else [None] * 4
        known = self.targets[place] if place < len(self.targets) else None
        if known is not None and [known.provider, known.model, known.service, known.region] == labels:
            return known
        return Subject(kind="target", id=name, provider=labels[0], model=labels[1], service=labels[2], region=labels[3])

    def _stale(self, name: WindowName) -> bool:
        known = self._windows.get(name)
        few = len(self.targets) + len(self.groups.subjects) < _FEW
        if few or name not in LONG or known is None or known.subjects is not self.targets:
            return True
        moved_ms = self.history.end_ms - known.end_ms
        return moved_ms < 0 or moved_ms * _STEADY >= known.end_ms - known.start_ms

    def describe(self, most: int) -> bool:
        """Describe windows of `most` subjects, all together, and at least one window; whether all are described."""
        while self._due:
            name = self._due.pop(0)
            self._windows[name] = self._describe(name)
            most -= len(self.targets) + len(self.groups.subjects)
            if most <= 0:
                break
        return not self._due

    def _describe(self, name: WindowName) -> _Described:
        window = self.history.window(name)
        peak = self.peaks.most(window.start_ms, self.history.closed_ms if name in LONG else 0, window.end_ms)
        groups = window._replace(stats=self.groups.stats(window.stats), peaks=peak.groups)
        return _Described(window.start_ms, window.end_ms, self.targets, _written(window._replace(peaks=peak.targets)), _written(groups))

    def period(self, start_ms: float, end_ms: float) -> Period:
        """What ended in [start_ms, end_ms), as the last update knows it: of all targets, services and the system.

        Both are rounded down to the beginning of a pane, so that periods of consecutive looks share nothing and leave nothing out. What comes
        later than the look is in no period; of what is older than ten minutes there is nothing.
        """
        start_ms, end_ms = (int(ms) // PANE_MS * PANE_MS for ms in (start_ms, end_ms))
        return self.roster.period(start_ms, end_ms, self.targets, self.history.spanned(start_ms, end_ms))

    def recall(self, start_ms: int, columns: Columns, records: Sequence[WindowRecord], windows: Sequence[WindowName]) -> None:
        """Take over what somebody else published of a time before this history begins: columns of the targets, and the records they come from."""
        history, numbers = self.history, self.history.numbers
        history.recall(start_ms, columns, windows)
        history.since_ms = min(history.since_ms, *(record.end_ms - record.covered_ms for record in records))
        targets = {numbers[record.id]: record.in_flight_max for record in records if record.kind == "target" and record.id in numbers}
        self.peaks.recall(start_ms, targets, {(record.kind, record.id): record.in_flight_max for record in records if record.kind != "target"})
        for name in windows:
            self._windows.pop(name, None)
            if name not in self._due:
                self._due.append(name)

    def details(self, service: str, term: int, seq: int) -> Details:
        """The details of one service: see `record`."""
        return Details.decode(self.record(service, term, seq))

    def record(self, service: str, term: int, seq: int) -> bytes:
        """The record of one service, of the last update: its targets, in the order of the configuration and then by name; and all groups."""
        self.describe(len(LENGTHS_MS) * (len(self.targets) + len(self.groups.subjects)))
        order = [i for i, target in enumerate(self.targets) if target.service == service]
        known = len(self._configured)
        order.sort(key=lambda i: (i, "") if i < known else (known, self.targets[i].id))
        targets: dict[WindowName, list[Raw]] = {name: window.targets for name, window in self._windows.items()}
        written = _subjects([self.targets[i] for i in order], self._totals[order], self._in_flight[order], _picked(targets, order), self.trends)
        groups, providers, services = self._groups(), len(self.groups.providers), len(self.groups.services)
        parts = {"targets": written, "providers": groups[:providers], "services": groups[providers : providers + services], "system": groups[-1]}
        advice = [Raw(item.model_dump_json(exclude_none=True).encode()) for item in self.recommendations.get(service, ())]
        return _json.encode({"service": service, "term": term, "seq": seq, "at_ms": self._at_ms, **parts, "recommendations": advice})

    def _groups(self) -> list[Raw]:
        """Written once for the records of all services."""
        if not self._group_details:
            totals, in_flight = self.groups.sums(self._totals), self.groups.sums(self._in_flight)
            groups: dict[WindowName, list[Raw]] = {name: window.groups for name, window in self._windows.items()}
            self._group_details = _subjects(self.groups.subjects, totals, in_flight, _picked(groups, range(len(self.groups.subjects))), self.trends)
        return self._group_details


def _written(window: Window) -> list[Raw]:
    return [Raw(_json.encode(figures)) for figures in described(window)]


def _picked(windows: Mapping[WindowName, Sequence[Raw]], order: Iterable[int]) -> Iterator[dict[WindowName, Raw]]:
    return ({name: windows[name][i] for name in LENGTHS_MS} for i in order)


def _subjects(
    subjects: Sequence[Subject], totals: Ints, in_flight: Ints, windows: Iterable[Mapping[WindowName, Raw]], trends: Mapping[str, Mapping[Metric, Direction]]
) -> list[Raw]:
    going = [trends.get(subject.key, {}) for subject in subjects]
    rows = zip(subjects, totals.tolist(), np.maximum(0, in_flight).tolist(), windows, going, strict=True)
    return [Raw(_json.encode(_subject(*row))) for row in rows]


def _subject(subject: Subject, totals: Sequence[int], in_flight: int, windows: Mapping[WindowName, Raw], trends: Mapping[Metric, Direction]) -> dict[str, Any]:
    """`SubjectDetails` as a mapping, without the labels it does not have."""
    labels = {name: label for name in _NAMED if (label := getattr(subject, name)) is not None}
    started, *outcomes = totals
    return {
        **labels, "started_total": started, "requests_total": sum(outcomes[:_ENDED]), "outcomes_total": dict(zip(_OUTCOMES, outcomes, strict=True)),
        "in_flight": in_flight, "windows": windows, **({"trends": trends} if trends else {}),
    }  # fmt: skip


def _quantiles(stats: WindowStats, names: Sequence[str]) -> dict[str, Quantiles]:
    """Of the time to the first chunk, or of the whole duration for a target that never streamed, and of the time per token after it.

    Four significant digits; what rises still rises.
    """
    found = significant(quantiles_ms(stats, QUANTILES), 4).tolist()
    ns = np.stack([stats.sum("duration_n"), stats.sum("ttft_n"), stats.sum("tpot_n")], axis=1)
    quantiles: dict[str, Quantiles] = {}
    for i, name in enumerate(names):
        first = 1 if ns[i, 1] else 0
        quantiles[name] = Quantiles(*(tuple(found[i][place]) if ns[i, place] >= LEAST_N else () for place in (first, 2)))
    return quantiles
