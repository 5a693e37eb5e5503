"""Details: every figure of every target, provider, service and the system, and the quantiles that routers judge deadlines by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np

from routecast.analytics.columns import Ints
from routecast.analytics.figures import Floats, details_of, quantiles_ms
from routecast.analytics.history import History
from routecast.analytics.insights.period import Period
from routecast.analytics.insights.roster import Roster
from routecast.analytics.merge import Merge
from routecast.analytics.quantiles import Quantiles
from routecast.analytics.window import Window, WindowStats
from routecast.models.config import Config
from routecast.models.details import Details, OutcomesTotal, SubjectDetails, WindowDetails, WindowName
from routecast.models.insights import Subject
from routecast.models.rows import PANE_MS, TargetTotals
from routecast.models.snapshot import QUANTILES

LEAST_N: Final = 10
"""Fewer observations than this in five minutes give no quantiles."""

_OUTCOMES: Final = ("ok", "error", "timeout", "rate_limited", "cancelled", "caller_fault", "lost", "late")
_ENDED: Final = len(_OUTCOMES) - 2
_totals: Callable[[TargetTotals], tuple[int, ...]] = attrgetter("started", *_OUTCOMES)


class _Subject(NamedTuple):
    """A target, or a group of targets, of which only the id is known."""

    id: str
    provider: str | None = None
    model: str | None = None
    service: str | None = None
    region: str | None = None


class _Figures(NamedTuple):
    """Figures of some subjects, a row each."""

    totals: Ints
    """[subjects × (started, outcomes)]."""
    in_flight: Ints
    windows: dict[WindowName, Window]

    def of(self, numbers: Ints) -> _Figures:
        """The figures of these subjects alone."""
        windows: dict[WindowName, Window] = {name: window._replace(stats=window.stats.of(numbers)) for name, window in self.windows.items()}
        return _Figures(self.totals[numbers], self.in_flight[numbers], windows)

    def grouped(self, members: Sequence[Ints]) -> _Figures:
        """Sums over groups of these subjects."""
        windows: dict[WindowName, Window] = {name: window._replace(stats=window.stats.grouped(members)) for name, window in self.windows.items()}
        totals, in_flight = ([figures[numbers].sum(axis=0) for numbers in members] for figures in (self.totals, self.in_flight))
        return _Figures(np.array(totals, np.int64), np.array(in_flight, np.int64), windows)

    def described(self, subjects: Sequence[_Subject]) -> tuple[SubjectDetails, ...]:
        """The figures as people read them."""
        windows: dict[WindowName, list[WindowDetails]] = {name: details_of(window) for name, window in self.windows.items()}
        found: list[SubjectDetails] = []
        for i, (subject, (started, *outcomes), open_) in enumerate(zip(subjects, self.totals.tolist(), self.in_flight.tolist(), strict=True)):
            found.append(
                SubjectDetails(
                    **subject._asdict(),
                    started_total=started,
                    requests_total=sum(outcomes[:_ENDED]),
                    outcomes_total=OutcomesTotal(**dict(zip(_OUTCOMES, outcomes, strict=True))),
                    in_flight=open_,
                    windows={name: details[i] for name, details in windows.items()},
                )
            )
        return tuple(found)


class _Groups(NamedTuple):
    providers: tuple[SubjectDetails, ...]
    services: tuple[SubjectDetails, ...]
    system: SubjectDetails


class _Now:
    """What one update found."""

    def __init__(self, at_ms: float, targets: Sequence[_Subject], figures: _Figures) -> None:
        self.at_ms = at_ms
        self.targets = targets
        self.figures = figures

    @cached_property
    def groups(self) -> _Groups:
        """Sums over targets, first of each provider within each service, then of these."""
        labels = [(target.provider, target.service) for target in self.targets]
        pairs = sorted(set(labels), key=lambda pair: (pair[0] or "", pair[1] or ""))
        figures = self.figures.grouped(_places(labels, pairs))
        providers, services = (sorted({pair[side] or "" for pair in pairs} - {""}) for side in range(2))
        by_provider, by_service = (_places([pair[side] for pair in pairs], names) for side, names in enumerate((providers, services)))
        return _Groups(
            providers=figures.grouped(by_provider).described([_Subject(name, provider=name) for name in providers]),
            services=figures.grouped(by_service).described([_Subject(name, service=name) for name in services]),
            system=figures.grouped([np.arange(len(pairs))]).described([_Subject("system")])[0],
        )


def _places(labels: Sequence[object], groups: Sequence[object]) -> list[Ints]:
    """Per group, where among the labels it occurs."""
    return [np.array([i for i, label in enumerate(labels) if label == group], np.int64) for group in groups]


class DetailsBuilder:
    """Keeps windows up to date and describes them.

    Everything is a function of merged rows and of the times of the updates: how events were spread over partitions, and the order
    rows came in, leave no trace. An update takes 7 ms for 20 targets on 4 partitions and 115 ms for 1,000, up to five times as long
    where every request gets feedback minutes later; the records then take 13 ms and 440 ms.

    Args:
        config: services and targets; a target that only events name is shown with the labels its events carry.
    """

    def __init__(self, config: Config) -> None:
        self._configured = {
            target.id: _Subject(target.id, target.provider, target.model, target.service, target.region)
            for service in sorted(config.services)
            for target in config.targets_of(service)
        }
        self.roster = Roster(config)
        """Whose places in periods are state: they go with figures that somebody keeps by place."""
        self._history = History()
        for name in self._configured:
            self._history.number_of(name)
        self.quantiles: Mapping[str, Quantiles] = {}
        """Per target, the quantiles of the last five minutes."""
        self.update(0.0, Merge())

    def update(self, at_ms: float, merge: Merge) -> None:
        """Advance to `at_ms`, epoch ms: windows end with the last pane that is over.

        To be called every metrics interval, and at least every minute: panes that expired in between are missing in the long windows.
        """
        totals = merge.target_totals()
        for name in totals:
            self._history.number_of(name)
        self._history.take(merge)
        names = list(self._history.numbers)
        nothing = TargetTotals("")
        figures = _Figures(
            totals=np.array([_totals(totals.get(name, nothing)) for name in names], np.int64),
            in_flight=self._history.in_flight(),
            windows=self._history.windows(int(at_ms) // PANE_MS * PANE_MS),
        )
        self._now = _Now(at_ms, [self._subject(name, totals.get(name, nothing)) for name in names], figures)
        self.quantiles = _quantiles(figures.windows["5m"].stats, names)

    def _subject(self, name: str, said: TargetTotals) -> _Subject:
        configured = self._configured.get(name)
        return configured or _Subject(name, said.provider or None, said.model or None, said.service or None, said.region or None)

    def period(self, start_ms: float, end_ms: float) -> Period:
        """What ended in [start_ms, end_ms), as the last update knows it: of all targets, services and the system.

        Both are rounded down to the beginning of a pane, so that periods of consecutive looks share nothing and leave nothing out. What comes
        later than the look is in no period; of what is older than ten minutes there is nothing.
        """
        start_ms, end_ms = (int(ms) // PANE_MS * PANE_MS for ms in (start_ms, end_ms))
        stats = self._history.spanned(start_ms, end_ms)
        return self.roster.period(start_ms, end_ms, [_insight_subject(target) for target in self._now.targets], stats)

    def details(self, service: str, term: int, seq: int) -> Details:
        """The record of one service, of the last update: its targets, in the order of the configuration and then by name; and all groups."""
        now = self._now
        order = [i for i, target in enumerate(now.targets) if target.service == service]
        known = len(self._configured)
        order.sort(key=lambda i: (i, "") if i < known else (known, now.targets[i].id))
        targets = now.figures.of(np.array(order, np.int64)).described([now.targets[i] for i in order])
        return Details(service=service, term=term, seq=seq, at_ms=now.at_ms, targets=targets, **now.groups._asdict())


def _insight_subject(target: _Subject) -> Subject:
    return Subject(kind="target", **target._asdict())


def _quantiles(stats: WindowStats, names: Sequence[str]) -> dict[str, Quantiles]:
    found = quantiles_ms(stats, QUANTILES)
    ns = np.stack([stats.sum("duration_n"), stats.sum("ttft_n"), stats.sum("tpot_n")], axis=1)
    quantiles: dict[str, Quantiles] = {}
    for i, name in enumerate(names):
        first = 1 if ns[i, 1] else 0
        quantiles[name] = Quantiles(*(_rounded(found[i, place]) if ns[i, place] >= LEAST_N else () for place in (first, 2)))
    return quantiles


def _rounded(values: Floats) -> tuple[float, ...]:
    """Four significant digits; what rises still rises."""
    return tuple(float(f"{value:.4g}") for value in values.tolist())
