"""A recording into an embedded log of this process: routers on its URL see the recorded snapshots as if live, at any speed.

Recorded events, operators' words and trips are appended to the log at their recorded times, and what their leaders published follows at its own:
computed again, and compared with what was published. The clock of the routers is the recording's; it stands at the moment that was played last.
What these routers decide and report changes nothing, since it is not part of what was recorded: their events go nowhere.

Delivery: every moment once, in order, to every router of this URL before the next one. Memory: that of a leader, and the newest thousand records of
each partition.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from routecast.models.config import Config
from routecast.models.details import Details
from routecast.models.errors import ConfigError, RoutecastError
from routecast.models.insights import decode_insight
from routecast.models.snapshot import RoutingSnapshot, decode_snapshot
from routecast.streams.clock import Clock, FixedClock, SystemClock
from routecast.streams.connect import CLOSE_S, join_as, leave
from routecast.streams.emitter import Emitter
from routecast.streams.memory import MemoryLog
from routecast.streams.pipeline import KEPT, News, deliver
from routecast.streams.recordings.attempts import recorded_config
from routecast.streams.recordings.decisions import silent
from routecast.streams.recordings.moments import Moment, own_moments, recorded_moments
from routecast.streams.recordings.pace import Pace
from routecast.streams.recordings.ranges import EVERYTHING, Range
from routecast.streams.recordings.recording import Recording
from routecast.streams.router import Router
from routecast.streams.topics import DETAILS, INSIGHTS, SCORES


class ReplayProgress(NamedTuple):
    """How far a replay is."""

    at_ms: float
    """Recorded time, epoch ms."""
    share: float
    """Of the recorded time, 0..1."""
    records: int
    """Recorded ones that were appended."""
    snapshots: int
    differing: int
    """Of them, those that are not what was published, byte for byte; 0 where another leader than the recorded ones ticks."""
    finished: bool


def replay_into(
    url: str, file: str | Path, *, speed: float | None = None, config: Config | None = None, within: Range = EVERYTHING, clock: Clock | None = None
) -> Replay:
    """A replay that `Router.connect(url, config=replay.config)` in this process is served by, until it is closed.

    Args:
        url: `memory://NAME`; nothing else may run there.
        file: what `routecast record` or `routecast import` wrote.
        speed: recorded seconds a second; None: as fast as possible.
        config: for a leader of its own, which ticks every `intervals.snapshot_ms`; None: what the recorded leaders published, byte for byte.
        within: only these events; a range has a leader of its own, with the recorded configuration where none is given.
        clock: what the speed is measured by.

    Raises ConfigError for a URL, speed or configuration that cannot be used, DecodeError or CheckFailed where the file cannot be read.
    """
    if urlsplit(url).scheme != "memory":
        raise ConfigError(f"{url!r} is no embedded log: replays go into memory://NAME")
    recording = Recording(Path(file))
    try:
        known, exact = config or _recorded(recording, file), config is None and within == EVERYTHING
        replay = Replay(url, recording, known, Pace(clock or SystemClock(), speed), exact=exact, within=within)
        join_as(url, replay)
    except BaseException:
        recording.close()
        raise
    return replay


def _recorded(recording: Recording, file: str | Path) -> Config:
    found = recorded_config(recording)
    if found is None:
        raise ConfigError(f"{str(file)!r} holds no configuration that this version reads: give config=")
    return found


class Replay:
    """A running replay, made by `replay_into`; `with` closes it.

    Either iterate over it, which plays a moment (a tick of the leader) each time, when it is due, in this thread; or `start` a thread that does so.
    """

    def __init__(self, url: str, recording: Recording, config: Config, pace: Pace, *, exact: bool, within: Range) -> None:
        self.config = config
        """For routers on this URL."""
        self.exact = exact
        """Whether it is the recorded leaders that publish."""
        self.clock = FixedClock(recording.manifest.first_ms)
        """Recorded time."""
        self.log = MemoryLog(self.clock)
        """Recorded records and published ones, the newest thousand of each partition."""
        self._url, self._recording, self._pace = url, recording, pace
        self._moments = recorded_moments(recording, silent) if exact else own_moments(recording, config, within, silent)
        self._playing, self._members = threading.Lock(), threading.Lock()
        self._heard, self._over = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._routers: list[Router] = []
        self._emitters: list[Emitter] = []
        self._snapshots: dict[str, RoutingSnapshot] = {}
        self._details: dict[str, Details] = {}
        self._records = self._published = self._differing = 0
        self._finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        leave(self._url, self, CLOSE_S)

    def __iter__(self) -> Iterator[Moment]:
        return self

    def __next__(self) -> Moment:
        """Wait until the next moment is due and play it; every router of this URL has its snapshots then."""
        with self._playing:
            if self._error is not None:
                raise self._error
            try:
                moment = next(self._moments, None)
            except RoutecastError as error:
                self._error = error
                self._over.set()
                raise
            if moment is None or not self._pace.until(moment.at_ms):
                self._finished = moment is None
                self._over.set()
                raise StopIteration
            self._play(moment)
            return moment

    def _play(self, moment: Moment) -> None:
        for source in moment.sources:
            self.clock.at_ms = max(self.clock.at_ms, source.append_ms)
            self.log.append(source.topic, source.record.value, key=source.record.key, partition=source.partition)
        self.clock.at_ms = max(self.clock.at_ms, moment.at_ms)
        for message in moment.messages:
            self.log.append(message.topic, message.value, key=message.key, partition=message.partition)
        self.log.trim(KEPT, {DETAILS: KEPT // 100})
        news = _news(moment)
        self._records += len(moment.sources)
        self._published += len(news.snapshots)
        self._differing += moment.differing
        self._deliver(news)

    def _deliver(self, news: News) -> None:
        with self._members:
            self._snapshots |= {snapshot.service: snapshot for snapshot in news.snapshots}
            self._details |= {details.service: details for details in news.details}
            for router in self._routers:
                router.end_overdue()
                deliver(router, news)
            for emitter in self._emitters:
                while emitter.take() or emitter.take_announced():
                    pass  # not part of what was recorded
        if news.snapshots:
            self._heard.set()

    def start(self) -> None:
        """Play in a thread of its own, from where it is; `wait` waits for the end."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="routecast-replay", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            for _ in self:
                pass
        except Exception as error:  # noqa: BLE001 - raised again where somebody waits
            self._error = self._error or error
        finally:
            self._over.set()
            self._heard.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is over; whether it is. Raises what the thread came to grief by, such as CheckFailed at a part that is damaged."""
        over = self._over.wait(timeout_s)
        if self._error is not None:
            raise self._error
        return over

    def pause(self) -> None:
        """Stand still after the moment that is being played."""
        self._pace.pause()

    def resume(self) -> None:
        """Go on where it stands."""
        self._pace.resume()

    def stop(self) -> None:
        """End it for good."""
        self._pace.stop()

    @property
    def speed(self) -> float | None:
        """Recorded seconds a second; None: as fast as possible. May be changed while it plays."""
        return self._pace.speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        self._pace.speed = speed

    @property
    def progress(self) -> ReplayProgress:
        """How far it is."""
        first_ms, last_ms = self._recording.manifest.first_ms, self._recording.manifest.last_ms
        share = min(1.0, max(0.0, (self.clock.at_ms - first_ms) / max(1.0, last_ms - first_ms)))
        return ReplayProgress(self.clock.at_ms, share, self._records, self._published, self._differing, self._finished)

    def emitter(self, rng: random.Random) -> Emitter:
        """An emitter whose events go nowhere."""
        emitter = Emitter(self.clock, rng)
        with self._members:
            self._emitters.append(emitter)
        return emitter

    def router(self, service: str, rng: random.Random, policy: str | None = None) -> Router:
        """A router that begins with the newest snapshot there is."""
        router = Router(self.config, service, self.emitter(rng), self.clock, rng, policy=policy)
        with self._members:
            deliver(router, News(list(self._snapshots.values()), list(self._details.values()), []))
            self._routers.append(router)
        return router

    def wait_for_snapshot(self, service: str, timeout_s: float) -> bool:
        """Wait for the first snapshots where a thread plays; whether there is one of this service."""
        if self._thread is not None:
            self._heard.wait(timeout_s)
        return service in self._snapshots

    def release(self, emitter: Emitter, router: Router | None, _: float) -> bool:
        """Let go of an emitter, and of its router."""
        with self._members:
            self._emitters = [one for one in self._emitters if one is not emitter]
            self._routers = [one for one in self._routers if one is not router]
        return True

    def close(self, timeout_s: float) -> bool:
        """Stop, and close the file; whether the thread ended in time."""
        self.stop()
        if self._thread is not None:
            self._thread.join(timeout_s)
        ended = self._thread is None or not self._thread.is_alive()
        if ended:
            self._recording.close()
        return ended


def _news(moment: Moment) -> News:
    news = News([], [], [])
    for message in moment.messages:
        if message.topic == SCORES:
            news.snapshots.append(decode_snapshot(message.value))
        elif message.topic == DETAILS:
            news.details.append(Details.decode(message.value))
        elif message.topic == INSIGHTS:
            news.insights.append(decode_insight(message.value))
    return news
