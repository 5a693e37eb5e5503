"""The router: chooses a target for every request from the newest snapshot and from what it has in flight itself. No I/O.

Delivery: snapshots arrive in any order and number; the newest (term, seq) counts, others are ignored. Ordering: none assumed.
Lost in a crash of this process: nothing but its own in-flight counts; its open requests are booked `lost` by the fold.

When snapshots stay away: up to 2 periods nothing changes; up to 10 the averages of the last one count; beyond, the router's own measurements,
where the policy would have read it. It never fails for lack of a snapshot. A forked child goes on with the one it has and with nothing in flight.
"""

from __future__ import annotations

import math
import os
import random
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from pathlib import Path
from typing import Unpack

from routecast.analytics.balance import costs_now
from routecast.analytics.routing.candidates import Candidates, bootstrap, view_of
from routecast.analytics.routing.contention import LOAD_NORM, REFRESH_MS, Target
from routecast.analytics.routing.overlay import Overlay
from routecast.analytics.routing.select_model import asking, select_model
from routecast.models.attempts import Answer
from routecast.models.config import Config
from routecast.models.decision import Decision
from routecast.models.details import Details, SubjectDetails, find
from routecast.models.errors import ConfigError
from routecast.models.events import Outcome, RouterStats, Started, Tripped, Urgency
from routecast.models.model_choice import Asked, ModelChoice
from routecast.models.recommendation import Recommendation
from routecast.models.requirements import NONE, Requirements
from routecast.models.snapshot import RoutingSnapshot
from routecast.streams.calls.attempts import Options
from routecast.streams.calls.call import Call, Track
from routecast.streams.calls.calling import Caller, Send, SendSync, Value
from routecast.streams.calls.calls import Calls
from routecast.streams.calls.present import Policies, prefer
from routecast.streams.calls.ways import Ways
from routecast.streams.clock import Clock
from routecast.streams.emitter import Emitter
from routecast.streams.fork import renew_after_fork


class Router:
    """Chooses among the configured targets of one service.

    Args:
        config, service: targets and policy, and which of its services; the router only ever chooses targets of its own configuration.
        emitter, clock, rng: what reports starts and ends; time and chance.
        policy: overrides the configured policy.

    Raises ConfigError when the service has no targets or the policy does not exist. Safe to use from several threads.
    """

    def __init__(self, config: Config, service: str, emitter: Emitter, clock: Clock, rng: random.Random, *, policy: str | None = None) -> None:
        self.clock, self.emitter = clock, emitter
        self.name_of_service, self._rng = service, rng
        self._routing, self._targets = config.routing_for(service), config.targets_of(service)
        if not self._targets:
            raise ConfigError(f"service {service!r} has no targets: the configuration knows {sorted(config.services)}")
        self._bootstrap = bootstrap(self._targets)
        self._index, self._lock = {target.id: i for i, target in enumerate(self._targets)}, threading.Lock()
        self._calls = Calls(service, self._targets, self._routing.factor_weights.current_load / LOAD_NORM, rng, config.intervals.health_check_ms)
        self.contention, self.limiting = self._calls.contention, self._calls.limiting
        """What this router has in flight, and its share of the traffic; what is left of rate limits."""
        self._refreshed_ms, self._refresh_at_ms, self._due_ms = clock.now_ms(), math.inf, math.inf
        self._details: Details | None = None
        renew_after_fork(self, Router._begin_anew)
        self._ways = Ways(Policies(policy, self._routing.policy, adaptive=config.adaptive.enabled), self._routing, self._calls.own, rng, emitter.request_id)
        self._use(None, clock.now_ms(), math.inf, self._calls.contention.own)
        self._refresh(clock.now_ms())
        self._caller = Caller(self, self._routing)

    @classmethod
    def connect(
        cls, url: str, config: Config | str | Path | None = None, *, service: str | None = None, policy: str | None = None, rng: random.Random | None = None
    ) -> AbstractAsyncContextManager[Router]:
        """`async with Router.connect("memory://", config="routecast.toml", service="chat") as router`.

        Waits at most 5 s for the first snapshot, then starts from the configuration. `config`: a file, a `Config`, or None for
        ./routecast.toml; `service` may be left out where there is only one. Raises ConfigError.
        """
        from routecast.streams.connect import open_router  # noqa: PLC0415 - the connection knows the router

        return open_router(url, config, service, policy, rng, os.environ)

    @classmethod
    def connect_sync(
        cls, url: str, config: Config | str | Path | None = None, *, service: str | None = None, policy: str | None = None, rng: random.Random | None = None
    ) -> AbstractContextManager[Router]:
        """`with Router.connect_sync(...) as router`: the same for threaded programs."""
        from routecast.streams.connect import open_router  # noqa: PLC0415 - the connection knows the router

        return open_router(url, config, service, policy, rng, os.environ)

    def _begin_anew(self) -> None:
        """In a forked child: its siblings must not draw what it draws."""
        self._rng.seed()
        self._calls.begin_anew()
        self._lock, self._caller = threading.Lock(), Caller(self, self._routing)

    def _use(self, snapshot: RoutingSnapshot | None, at_ms: float, period_ms: float, own_at_publish: Sequence[int]) -> None:
        self._published = view_of(snapshot, self._targets, self._bootstrap)
        self._calls.watch.heed(self._published.entries, snapshot.routers if snapshot else 1, self.clock.now_ms())
        self._changed()
        loads = [Target(e.in_flight, e.in_flight_mean, e.capacity, e.service_s) for e in self._published.entries]
        self._calls.contention.take(at_ms, period_ms, loads, own_at_publish)

    def _changed(self) -> None:
        """What the router knows of its targets changed, seldom: the fleet is told, and the very next decision follows."""
        for change in self._calls.watch.health.take_news():
            target = self._targets[change.target].id
            self.emitter.announce(Tripped(at_ms=self.clock.now_ms(), emitter=self.emitter.name, target=target, state=change.state, reason=change.reason[:256]))
        self._lay()

    def _lay(self) -> None:
        """Lay what the router itself knows over the snapshot."""
        self._ways.lay(self._calls.overlay.laid_over(self._published))
        now_ms = self.clock.now_ms()
        self._refresh_at_ms = self._due_ms = min(self._refresh_at_ms, self._ways.settle(now_ms, alone=self._calls.contention.alone(now_ms)))

    @contextmanager
    def overlaying(self) -> Iterator[Overlay]:
        """For parts that learn something of a target right now: the overlay to change, which decides from the next decision on."""
        with self._lock:
            yield self._calls.overlay
            if self._calls.overlay.dirty:
                self._changed()

    def apply(self, snapshot: RoutingSnapshot) -> bool:
        """Take a snapshot; whether it is used. A foreign or older one is ignored."""
        with self._lock:
            if snapshot.service != self.name_of_service or snapshot.version <= self._ways.present.version:
                return False
            self._use(snapshot, snapshot.at_ms, snapshot.period_ms, self._calls.changes.undone(self._calls.contention.own, snapshot.at_ms))
            self._refresh(self.clock.now_ms())
        self._caller.queue.take_snapshot()
        return True

    def _refresh(self, now_ms: float) -> None:
        calls, snapshot = self._calls, self._published.snapshot
        elapsed_s = (now_ms - self._refreshed_ms) / 1000.0
        if elapsed_s > 0:
            calls.rate.refresh(elapsed_s)
        self._refreshed_ms = now_ms  # where the clock was set back too, or all that comes until it is there again would count for one moment
        calls.advance(now_ms, calls.rate.share(snapshot.rate_per_s, snapshot.routers) if snapshot else 1.0, snapshot)
        if calls.overlay.dirty:
            self._changed()
        self._refresh_at_ms = min(now_ms + REFRESH_MS, calls.next_ms, self._ways.settle(now_ms, alone=calls.contention.alone(now_ms)))
        self._due_ms = min(self._refresh_at_ms, calls.counts.times.next_ms)

    def choose(self, requirements: Requirements | None = None, *, tried: Collection[str] = (), request_id: str = "", session: str = "") -> Decision:
        """Choose a target; synchronous, microseconds, no I/O.

        `tried` names targets that have failed this request already; `request_id` and `session` are what experiments assign by. Raises
        NoTarget only when the caller excluded every target, or asked for strictness and nothing qualifies.
        """
        now_ms = self.clock.now_ms()
        if now_ms >= self._due_ms:
            if now_ms >= (times := self._calls.counts.times).next_ms:
                self._due_ms = times.put_off(now_ms, self._refresh_at_ms)
                return times.timed(self.clock, self.choose, requirements, tried=tried, request_id=request_id, session=session)
            with self._lock:
                self._refresh(now_ms)
        way, trial, assigned = self._ways.way, self._ways.trial, None
        if trial is not None:
            way, assigned = trial.assign(request_id, session, requirements, tried)
        present = way.present
        found = present.plain if requirements is None and not tried else present.candidates(requirements or NONE, tried)
        costs = costs_now(found.table, self._calls.own)
        if found.preferred is not None:
            found, costs = prefer(found, found.preferred, costs, self._calls.own)
        table = found.table
        position, propensity = way.policy(table, way.own, costs, self._rng)
        i = table.index[position]
        forced = "stale" if way.stale else found.forced
        if forced:
            with self._lock:
                self._calls.counts.reasons[way.name, forced] += 1
                if found.forced == "probe":
                    self._calls.watch.probed(i, self.clock.now_ms())
                    self._lay()
        return Decision(
            config=self._targets[i], policy=way.name, snapshot=present.version, propensity=propensity, candidates=found.mask, forced=forced,
            entry=present.view.entries[i], packed_costs=table.pack(*costs), position=position, source=found, assigned=assigned,
        )  # fmt: skip

    def considered(self, requirements: Requirements, tried: Collection[str] = ()) -> Candidates:
        """The candidates of a class of requests as `choose` would find them now. Raises NoTarget as it does."""
        if self.clock.now_ms() >= self._refresh_at_ms:
            with self._lock:
                self._refresh(self.clock.now_ms())
        return self._ways.present.candidates(requirements, tried)

    def select_model(self, requirements: Requirements | None = None, **asked: Unpack[Asked]) -> ModelChoice:
        """The model for such requests, and why not another: `router.select_model(response_time_ms=2000, quality=0.9).model`. Raises NoTarget."""
        return select_model(self._ways.present.view, self._routing, asking(requirements, asked))

    @property
    def waiting(self) -> int:
        """Requests in the waiting queue."""
        return len(self._caller.queue)

    async def call(self, send: Send[Value], requirements: Requirements | None = None, **options: Unpack[Options]) -> Answer[Value]:
        """Choose, call `send(decision, call)`, fail over, wait while every target is full; the answer and all attempts.

        Raises CallFailed when no attempt succeeds, QueueFull, NoTarget. See `streams/calls/calling.py` for what is guaranteed.
        """
        return await self._caller.call(send, requirements, options)

    def call_sync(self, send: SendSync[Value], requirements: Requirements | None = None, **options: Unpack[Options]) -> Answer[Value]:
        """The same for threads; `send` is a plain function that keeps to `call.timeout_ms` by itself."""
        return self._caller.call_sync(send, requirements, options)

    def start(
        self, decision: Decision, *, request_id: str = "", attempt: int = 1, deadline_ms: float | None = None, stream: bool = False,
        input_tokens: int | None = None, max_output_tokens: int | None = None, urgency: Urgency = "medium",
    ) -> Call:  # fmt: skip
        """Report that the call to the chosen target begins. Past `deadline_ms` (a duration) the call ends as a timeout by itself."""
        emitter, index = self.emitter, self._index[decision.target]
        at_ms, ref = self.clock.now_ms(), decision.ref()
        call = Call(self, decision, index, request_id or decision.request_id or emitter.request_id(), attempt, at_ms, self.clock.monotonic_s(), ref)
        event = Started(
            at_ms=at_ms, emitter=emitter.name, request_id=call.request_id, attempt=attempt, target=decision.target, provider=decision.provider,
            model=decision.model, service=decision.service, region=decision.region or "", caller_region=decision.caller_region, deadline_ms=deadline_ms,
            stream=stream, input_tokens=input_tokens, max_output_tokens=max_output_tokens, urgency=urgency, decision=ref,
        )  # fmt: skip
        with self._lock:
            self._calls.started(call, input_tokens, max_output_tokens)
            if self._calls.overlay.dirty:
                self._changed()
        emitter.emit(event)
        self._calls.deadlines.limit(call, deadline_ms)
        return call

    def ended(self, call: Call, outcome: Outcome, duration_ms: float, error_type: str) -> None:
        """Take note that one of this router's calls ended; `Call.finish` calls it."""
        with self._lock:
            self._calls.ended(call, outcome, duration_ms, error_type)
            if self._calls.overlay.dirty:
                self._changed()
        self._caller.queue.ended()

    def track(self, decision: Decision) -> Track:
        """Context manager, sync and async: `start` on entry, `finish` however the block is left."""
        return Track(self, decision)

    def end_overdue(self) -> None:
        """End calls past their deadline with `timeout`, count those as failing that hang; the driver calls this a few times a second."""
        for call in self._calls.deadlines.overdue(self.clock.monotonic_s()):
            call.finish("timeout", error_type="timeout")
        with self._lock:
            self._calls.watch.blame(self.clock.monotonic_s(), self.clock.now_ms())
            if self._calls.overlay.dirty:
                self._changed()
        self._caller.queue.keep_time()

    def stats(self) -> RouterStats:
        """What this router did since the last time: its sign of life."""
        now_ms, snapshot = self.clock.now_ms(), self.snapshot
        with self._lock:
            return self._calls.counts.report(now_ms, self.emitter, None if snapshot is None else now_ms - snapshot.at_ms, len(self._caller.queue))

    @property
    def snapshot(self) -> RoutingSnapshot | None:
        """The snapshot in use."""
        return self._ways.present.view.snapshot

    @property
    def in_flight(self) -> dict[str, int]:
        """This router's open calls by target."""
        return {target.id: self._calls.contention.own[i] for i, target in enumerate(self._targets)}

    def apply_details(self, details: Details) -> None:
        """Take the details of a service; foreign ones are ignored."""
        if details.service == self.name_of_service:
            self._details = details

    def target(self, name: str) -> SubjectDetails | None:
        """Newest figures of a target; None until the first details arrive or when it is unknown."""
        return find(self._details.targets, name) if self._details else None

    def provider(self, name: str) -> SubjectDetails | None:
        """Newest figures of a provider."""
        return find(self._details.providers, name) if self._details else None

    def service(self, name: str) -> SubjectDetails | None:
        """Newest figures of a service."""
        return find(self._details.services, name) if self._details else None

    def system(self) -> SubjectDetails | None:
        """Newest figures of everything together."""
        return self._details.system if self._details else None

    def recommendations(self) -> tuple[Recommendation, ...]:
        """What should be done about the service, the most urgent first; empty until the first details arrive."""
        return self._details.recommendations if self._details else ()
