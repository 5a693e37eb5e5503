"""Closed windows as they are published: once they are over, and again while late rows and feedback change them.

A window of ten seconds or a minute is looked at when it is over, ten seconds and two minutes after its minute, and when that is closed for good,
eight minutes after; an hour together with its last minute. What is the same as before is not said again. An hour is made of the minutes that were
published, so that it always is their sum.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from routecast.analytics.windows.closed_window import Span, columns_of_records, records_of
from routecast.analytics.windows.columns import SUMS, Columns, Ints
from routecast.analytics.windows.concurrency import MINUTE_MS
from routecast.analytics.windows.details import DetailsBuilder
from routecast.analytics.windows.groups import Groups
from routecast.analytics.windows.history import CLOSED_MS, HOUR_MS, LONG
from routecast.analytics.windows.parts import summed
from routecast.analytics.windows.peaks import Peak
from routecast.analytics.windows.window import WindowStats
from routecast.models.insights import Subject
from routecast.models.metrics import ClosedWindow, WindowRecord
from routecast.models.rows import KEPT_MS, PANE_MS

_AGAIN_MS: Final = (10_000, 120_000)
"""How long after their minute windows are looked at again, beside the last time: once rows that a rebalance held up are there, and for feedback."""
_LENGTHS_MS: Final[dict[ClosedWindow, int]] = {"10s": PANE_MS, "1m": MINUTE_MS, "1h": HOUR_MS}
_SILENT: Final = 3
_COMPARED: Final = [place for place, name in enumerate(SUMS) if name != "open"]
_MIX: Final[Ints] = np.cumprod(np.full(len(_COMPARED), 6364136223846793005, np.int64))
"""Odd numbers that make one of all sums, which differs where any of them does, but for one chance in 2^63."""


class _Job(NamedTuple):
    """A window as it was when it was looked at."""

    window: ClosedWindow
    start_ms: int
    columns: Sequence[Columns]
    version: int
    peak: Peak
    targets: tuple[Subject, ...]
    groups: Groups
    final: bool
    silent: bool = False
    """Whether it is only to be known, as somebody else has published it."""


class _Published(NamedTuple):
    """What was said of a window: of every target by number, and of every group, one number that stands for all sums."""

    targets: Ints
    groups: dict[str, int]


class _Minute(NamedTuple):
    columns: Columns
    version: int


class _Hour:
    """Closed minutes of an hour, together."""

    def __init__(self) -> None:
        self.stats = WindowStats(0)
        self.version = 0

    def add(self, columns: Columns, version: int, n: int) -> None:
        """Take another one."""
        self.stats.grow(n)
        self.stats.add(columns)
        self.version += version


class Closing:
    """Follows a builder and says what to publish. Memory: 17 kB a target for each hour that is not closed, 2 kB for what was said.

    Args:
        builder: keeps the windows.
        begin_ms: where its history begins; hours that began earlier are published once `recalled` was called.
        published_ms: windows that ended by then were published by somebody else; they are said again when they are looked at next, changed or not.
    """

    def __init__(self, builder: DetailsBuilder, begin_ms: int, published_ms: int = 0) -> None:
        self._builder = builder
        self._begin_ms = begin_ms
        self._end_ms = published_ms
        self._jobs: deque[_Job] = deque()
        self._published: dict[tuple[ClosedWindow, int], _Published] = {}
        self._minutes: dict[int, _Minute] = {}
        self._hours: dict[int, _Hour] = {}
        self._began = self._recalled = False

    def look(self) -> None:
        """Note what is due after an update of the builder."""
        end_ms = self._builder.history.end_ms
        if not self._began:
            self._began = True
            for start_ms in range(self._begin_ms, self._end_ms - self._end_ms % MINUTE_MS, MINUTE_MS):
                self._note("1m", start_ms, silent=True)
        times = range(max(self._end_ms, self._begin_ms, end_ms - KEPT_MS) + PANE_MS, end_ms + 1, PANE_MS)
        for at_ms in times:
            self._over(at_ms)
        self._end_ms = max(self._end_ms, end_ms)
        closed = {closed.start_ms for closed in self._builder.closed} | {at_ms - CLOSED_MS for at_ms in times if at_ms % MINUTE_MS == 0}
        for start_ms in sorted(closed):
            self._look_at_minute(start_ms, final=True)
        for start_ms in [start_ms for start_ms in self._hours if start_ms + HOUR_MS + CLOSED_MS + KEPT_MS < end_ms]:
            del self._hours[start_ms]

    def _over(self, end_ms: int) -> None:
        self._note("10s", end_ms - PANE_MS)
        if end_ms % MINUTE_MS == 0:
            self._note("1m", end_ms - MINUTE_MS)
        if end_ms % HOUR_MS == 0:
            self._note("1h", end_ms - HOUR_MS)
        for age_ms in _AGAIN_MS:
            if (end_ms - age_ms) % MINUTE_MS == 0:
                self._look_at_minute(end_ms - MINUTE_MS - age_ms)

    def _look_at_minute(self, start_ms: int, *, final: bool = False) -> None:
        for pane_ms in range(start_ms, start_ms + MINUTE_MS, PANE_MS):
            self._note("10s", pane_ms, final=final)
        self._note("1m", start_ms, final=final)
        if (start_ms + MINUTE_MS) % HOUR_MS == 0:
            self._note("1h", start_ms + MINUTE_MS - HOUR_MS, final=final)

    def _note(self, window: ClosedWindow, start_ms: int, *, final: bool = False, silent: bool = False) -> None:
        builder, end_ms = self._builder, start_ms + _LENGTHS_MS[window]
        held = [] if window == "1h" else builder.history.held(start_ms, end_ms)
        if window != "1h" and (not held or start_ms < self._begin_ms):
            return
        peak = builder.peaks.most(start_ms, builder.history.closed_ms, end_ms) if window == "1h" else builder.peaks.kept(start_ms, end_ms)
        columns, version = [columns for columns, _ in held], sum(fence + 1 for _, fence in held)
        self._jobs.append(_Job(window, start_ms, columns, version, peak, builder.targets, builder.groups, final, silent))

    def take(self, most: int) -> list[WindowRecord]:
        """Records to publish, `most` and those of one window more at the most; three subjects without news take as long as a record."""
        found: list[WindowRecord] = []
        while self._jobs and most > 0:
            job = self._jobs.popleft()
            news = self._hour(job) if job.window == "1h" else self._window(job)
            found += news
            most -= max(len(news), (len(job.targets) + len(job.groups.subjects)) // _SILENT)
        return found

    def _window(self, job: _Job) -> list[WindowRecord]:
        stats = summed(job.columns, len(job.targets))
        found = [] if job.silent else self._news(job, stats, job.version)
        if job.window == "1m":
            known = self._minutes.get(job.start_ms)
            if found or known is None:
                known = _Minute(stats.columns(), job.version)
            self._minutes[job.start_ms] = known
            if job.final:
                del self._minutes[job.start_ms]
                self._hour_of(job.start_ms).add(known.columns, known.version, len(job.targets))
        return found

    def _hour_of(self, start_ms: int) -> _Hour:
        return self._hours.setdefault(start_ms - start_ms % HOUR_MS, _Hour())

    def _hour(self, job: _Job) -> list[WindowRecord]:
        hour = self._hours.get(job.start_ms) or _Hour()
        if job.final:
            self._hours.pop(job.start_ms, None)
        if job.start_ms < self._begin_ms and not self._recalled:
            return []
        together = _Hour()
        together.add(hour.stats.columns(), hour.version, len(job.targets))
        for start_ms, minute in self._minutes.items():
            if job.start_ms <= start_ms < job.start_ms + HOUR_MS:
                together.add(minute.columns, minute.version, len(job.targets))
        return self._news(job, together.stats, together.version)

    def _news(self, job: _Job, stats: WindowStats, version: int) -> list[WindowRecord]:
        """Records of all subjects of which something else was said before, or nothing."""
        place = job.window, job.start_ms
        known = self._published.get(place)
        end_ms = job.start_ms + _LENGTHS_MS[job.window]
        now = _marks(stats.sums)
        before = np.zeros(len(now), np.int64)
        if known is not None:
            before[: len(known.targets)] = known.targets
        targets = np.flatnonzero(now != before)
        groups, marks = self._changed_groups(job, stats, known)
        self._published[place] = _Published(now, marks)
        if job.final:
            del self._published[place]
        covered_ms = int(end_ms - min(end_ms, max(job.start_ms, self._builder.history.since_ms)))
        span = Span(job.window, job.start_ms, end_ms, covered_ms, version)
        found = records_of(span, [job.targets[i] for i in targets.tolist()], stats.of(targets), job.peak.targets[targets])
        if len(groups):
            subjects = [job.groups.subjects[i] for i in groups.tolist()]
            found += records_of(span, subjects, job.groups.stats(stats).of(groups), job.peak.groups[groups])
        return found

    def _changed_groups(self, job: _Job, stats: WindowStats, known: _Published | None) -> tuple[Ints, dict[str, int]]:
        marks = _marks(job.groups.sums(stats.sums)).tolist()
        now = {subject.key: mark for subject, mark in zip(job.groups.subjects, marks, strict=True)}
        before = known.groups if known is not None else {}
        return np.array([i for i, (name, mark) in enumerate(now.items()) if mark != before.get(name, 0)], np.int64), now

    def recall(self, records: Sequence[WindowRecord]) -> None:
        """Take over one window that somebody else published before this history begins: the newest record of each subject.

        Raises DecodeError where a sketch is not one.
        """
        window, start_ms = records[0].window, records[0].start_ms
        numbers = self._builder.history.numbers
        targets = [record for record in records if record.kind == "target" and record.id in numbers]
        columns = columns_of_records(targets, np.array([numbers[record.id] for record in targets], np.int64))
        self._builder.recall(start_ms, columns, records, ("24h",) if window == "1h" else LONG)
        if window != "1h":
            self._hour_of(start_ms).add(columns, max(record.version for record in records), len(numbers))

    def recalled(self) -> None:
        """Everything was taken over that is known: hours can be published."""
        self._recalled = True


def _marks(sums: Ints) -> Ints:
    marks: Ints = sums[:, _COMPARED] @ _MIX
    return marks
