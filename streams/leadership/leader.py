"""The leader: merged rows in, ticks, snapshots and details out. No I/O of its own: a driver feeds it and publishes what it returns.

Delivery: its input is the changelog of the fold, from the start; rows may come again. Ordering: within a partition, as written.
Lost in a crash: nothing that is not recomputed from the changelog and the newest checkpoint; routers live on the last snapshot
meanwhile. Duplicates of leaders are harmless: `(term, seq)` orders what they publish.

Everything it publishes is a function of its beginning (a checkpoint and a cut of rows), of the looks and ticks that the tick records
name, of operators' and routers' words up to the offsets they name, and of the configuration. `routecast.streams.recordings.replay` computes it again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from routecast.analytics.alerts.silences import Match
from routecast.analytics.experiments.ledger import Ledger
from routecast.analytics.fleet.orders import Orders
from routecast.analytics.fleet.quantiles import Quantiles
from routecast.analytics.insights.insights import Insights
from routecast.analytics.insights.outlook import Outlook
from routecast.analytics.insights.roster import Roster
from routecast.analytics.merge import Merge
from routecast.analytics.snapshot import ServiceAnalyst, Tick
from routecast.models.capacity import Capacity
from routecast.models.config import Config
from routecast.models.errors import DecodeError
from routecast.models.events import Control, Tripped, decode_events
from routecast.models.insights import Insight, Recommendations, encode_insight
from routecast.models.planning import PlanningInput
from routecast.models.rows import KEPT_MS, PANE_MS, TargetTotals
from routecast.models.snapshot import RoutingSnapshot, State, encode_snapshot
from routecast.models.tick import Beginning, Look, TickRecord, encode_tick
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.leadership.windows import Windows
from routecast.streams.topics import INSIGHTS, SCORES, STATE, TICKS, Topic

_SETTLED_MS = 1_000.0
"""How long after the end of a pane its figures are published: by then its last events have been folded."""

MOST_WORDS = 500
"""Words about breakers that are read of one record: no router has more to say at once."""

_log = logging.getLogger(__name__)


class Message(NamedTuple):
    """Something to publish."""

    topic: Topic
    key: bytes
    value: bytes
    partition: int = 0


def word_of(value: bytes) -> tuple[Control | None, str]:
    """The operator's word that a record of the control topic holds, or why it holds none."""
    events, bad = decode_events(value)
    words = [event for event in events if isinstance(event, Control)]
    if bad or len(words) != 1:
        return None, bad[0].reason if bad else f"{len(words)} words about targets, not one"
    return (None, words[0].fault) if words[0].fault else (words[0], "")


def trips_of(value: bytes) -> tuple[list[Tripped], str]:
    """What routers say in a record of the trips, five hundred at most, and what of it was bad."""
    events, bad = decode_events(value)
    words = [event for event in events if isinstance(event, Tripped)]
    if bad or len(words) != len(events) or len(words) > MOST_WORDS:
        return words[:MOST_WORDS], bad[0].reason if bad else f"{len(events)} events: more than {MOST_WORDS}, or not all about breakers"
    return words, ""


class Leader:
    """Analytic state of all services; advances only at ticks.

    Args:
        config: services, targets, intervals.
        term: orders this leader after its predecessors.
        now_ms: when it takes over, epoch ms.
        merge: rows read so far; it belongs to the leader from now on.
        checkpoint: where an earlier leader was. With the same term this is that leader again, at the tick of the checkpoint.
    """

    def __init__(self, config: Config, term: int, now_ms: float, merge: Merge | None = None, checkpoint: Checkpoint | None = None) -> None:
        self._config = config
        self._term = term
        self.merge = merge or Merge()
        """Rows read so far."""
        self.merge.expire(now_ms - KEPT_MS)
        self.merge.take_news()
        self._totals: dict[str, TargetTotals] = self.merge.target_totals()
        self._period_ms = float(config.intervals.snapshot_ms)
        self._metrics_ms = float(config.intervals.metrics_ms)
        self.windows = Windows(config, now_ms, self.merge, checkpoint.details_ms if checkpoint else 0.0)
        """Of all subjects; a driver lets it recall what other leaders closed."""
        self._details = self.windows.builder
        self._fresh = False
        """Whether windows were updated of which nothing was made yet."""
        self._quantiles: Mapping[str, Quantiles] = {}
        self._insights, self._outlook = Insights(config, self._details.roster), Outlook(config)
        self._seq, self._tick_ms, self._details_ms = 0, now_ms, now_ms - now_ms % self._metrics_ms
        self._control = self._trips = -1
        self._heeds_from_ms = -math.inf if checkpoint else now_ms  # what was said earlier is in the checkpoint, or over
        self._configured = {service: config.routing_for(service).policy for service in sorted(config.services)}
        self._elects = config.adaptive.enabled and config.intervals.election_ms > 0
        self._orders, self._ledger = Orders(), Ledger(frozenset(config.services), self._metrics_ms)
        self._states: dict[str, State] = {}
        self._snapshots: dict[str, RoutingSnapshot] = {}
        self._looks: list[Look] = []
        self._began: Beginning | None = Beginning(look=self._look_at(now_ms), resumed=(checkpoint.term, checkpoint.seq) if checkpoint else None)
        if checkpoint is not None:
            self._continue(checkpoint)
        self._analysts = {service: self._analyst(service, now_ms, checkpoint) for service in sorted(config.services)}

    def _continue(self, checkpoint: Checkpoint) -> None:
        self._details_ms, self._fresh = checkpoint.details_ms, checkpoint.fresh
        self._quantiles = {name: Quantiles(*quantiles) for name, quantiles in checkpoint.quantiles.items()}
        if checkpoint.fresh:
            self.windows.update(checkpoint.at_ms, self.merge, self._totals)
        self._trips = checkpoint.trips
        self._control, self._orders = checkpoint.control, checkpoint.orders
        self._insights = self._resumed(checkpoint)
        try:
            self._ledger.resume(checkpoint.experiments)
        except DecodeError as error:
            _log.warning("experiments are over: the checkpoint does not fit (%s); start them again", error)
        try:
            self._outlook.resume(checkpoint.advice)
        except (DecodeError, LookupError, TypeError, ValueError) as error:
            _log.warning("recommendations begin anew: the checkpoint does not fit (%s)", error)
        if checkpoint.term == self._term:
            self._seq, self._tick_ms, self._began = checkpoint.seq, checkpoint.at_ms, None

    def _resumed(self, checkpoint: Checkpoint) -> Insights:
        try:
            self._insights.resume(checkpoint.insights)
        except (DecodeError, LookupError, TypeError, ValueError) as error:
            _log.warning("alerts and trends begin anew: the checkpoint does not fit (%s)", error)
            self._details.roster = Roster(self._config)
            return Insights(self._config, self._details.roster)
        return self._insights

    def _analyst(self, service: str, now_ms: float, checkpoint: Checkpoint | None) -> ServiceAnalyst:
        analyst = ServiceAnalyst(service, self._config)
        try:
            analyst.resume(now_ms, self.merge, checkpoint.services.get(service) if checkpoint else None)
        except (DecodeError, LookupError, TypeError, ValueError) as error:
            _log.warning("service %r begins with what the last ten minutes tell: its checkpoint does not fit (%s)", service, error)
            analyst = ServiceAnalyst(service, self._config)
            analyst.resume(now_ms, self.merge, None)
        return analyst

    def take(self, key: bytes, value: bytes | None) -> bool:
        """Take one changelog record; True where it completed a cut. Raises DecodeError when it is not a row."""
        return self.merge.add(key, value)

    def hear(self, offset: int, word: Control | None) -> bool:
        """Take an operator's word, None where the record holds none; whether it changes anything, which should be published at once."""
        if offset <= self._control:
            return False
        self._control = offset
        if word is None:
            return False
        if word.action in {"silence", "unsilence"}:
            self._insights.alerts.silence(Match.of(word), float(word.until_ms or 0.0) if word.action == "silence" else 0.0)
        return self._orders.follow(word) or self._ledger.follow(word)

    def heed(self, offset: int, append_ms: float, words: Sequence[Tripped]) -> bool:
        """Take what routers said in a record of the trips; whether it changes anything, which should be published at once."""
        if offset <= self._trips:
            return False
        self._trips = offset
        if append_ms < self._heeds_from_ms:
            return False
        return sum([analyst.heed(word, append_ms) for word in words for analyst in self._analysts.values()]) > 0

    @property
    def trips(self) -> int:
        """Last offset of the trips that was applied."""
        return self._trips

    @property
    def control(self) -> int:
        """Last offset of the control topic that was applied."""
        return self._control

    def due(self, now_ms: float) -> bool:
        """Whether to tick: the period is over, or what `look` saw has changed too much to wait for its end.

        A clock that was set back begins a new period.
        """
        return abs(now_ms - self._tick_ms) >= self._period_ms - 1e-6 or self.urgent(now_ms)

    def urgent(self, now_ms: float) -> bool:
        """Whether what `look` saw should be published before the period is over."""
        return any(analyst.urgent(now_ms, self._totals) for analyst in self._analysts.values())

    def look(self, now_ms: float) -> None:
        """Count what is new without publishing, so that `due` can see a surge."""
        self._looks.append(self._look_at(now_ms))
        self._see(now_ms)

    def _look_at(self, now_ms: float) -> Look:
        return Look(at_ms=now_ms, offsets=self.merge.offsets)

    def _see(self, now_ms: float) -> None:
        news, self._totals = self.merge.take_news(), self.merge.target_totals()
        for analyst in self._analysts.values():
            analyst.discover(self._totals)
            analyst.observe(now_ms, news)

    def tick(self, now_ms: float) -> list[Message]:
        """Advance to this time (epoch ms) and say what to publish: the tick first, then the snapshots, then what there is of details and closed windows."""
        self._seq += 1
        self._tick_ms = now_ms
        self._see(now_ms)
        self.merge.expire(now_ms - KEPT_MS)
        experiments = self._ledger.look(now_ms, self.merge.arms)
        ready = self._fresh
        if abs(now_ms - self._details_ms) >= self._metrics_ms + _SETTLED_MS:  # an earlier leader's clock may have run ahead
            self._details_ms, self._fresh = now_ms - now_ms % self._metrics_ms, True
            self.windows.update(now_ms, self.merge, self._totals)
            ready |= not self.windows.many  # what was left by the last update is made of this one
        if ready:
            self._quantiles = self._details.quantiles
        tick = Tick(self._term, self._seq, now_ms, self.merge.routers(now_ms))
        routers = self.merge.routers_by_service(now_ms)
        ticks = {service: tick._replace(routers=routers[service] + routers[""]) for service in self._analysts}
        snapshots = [Message(SCORES, service.encode(), self._snapshot(analyst, ticks[service])) for service, analyst in self._analysts.items()]
        record = TickRecord(
            term=self._term, seq=self._seq, at_ms=now_ms, offsets=self.merge.offsets, routers=tick.routers, config_version=self._config.version,
            sha256={message.key.decode(): sha256(message.value).hexdigest() for message in snapshots}, looks=tuple(self._looks),
            control=self._control, trips=self._trips, began=self._began,
        )  # fmt: skip
        self._looks, self._began = [], None
        self._details.recommendations, self._details.trends = self._outlook.recommendations, self._insights.trends
        windows = [Message(*published) for published in self.windows.publish(now_ms, self._term, self._seq)]
        said = [*self._say(now_ms, ready=ready), *(_insight(report) for report in experiments)]
        return [Message(TICKS, b"", encode_tick(record)), *snapshots, *windows, *said]

    def _say(self, now_ms: float, *, ready: bool) -> list[Message]:
        """What the figures mean, with what happened since the last time where the figures are new."""
        since_ms, until_ms = max(self._insights.until_ms or self._details_ms - PANE_MS, now_ms - KEPT_MS), self._details_ms
        period = self._details.period(since_ms, until_ms) if ready and until_ms // PANE_MS > since_ms // PANE_MS else None
        self._fresh &= not ready
        changes = [change for analyst in self._analysts.values() for change in analyst.changes.news]
        self._outlook.heed(changes)
        return [_insight(insight) for insight in (*self._insights.tick(now_ms, changes, period, self._states), *self._outlook.say())]

    def on_auto(self) -> dict[str, str]:
        """Services whose policy evidence is to choose, and the one that each follows; not those of an experiment, which must not be disturbed."""
        auto = [service for service, policy in self._configured.items() if self._orders.on_auto(service, policy) and self._ledger.of(service) is None]
        return {service: self._orders.elected.get(service, ("performance", ""))[0] for service in auto} if self._elects else {}

    @property
    def snapshots(self) -> Mapping[str, RoutingSnapshot]:
        """The newest of each service."""
        return self._snapshots

    def planning_input(self, service: str) -> PlanningInput | None:
        """What a plan of a service is made from, off this loop; None where there is nothing to plan. See `streams/leadership/planner.py`."""
        snapshot = self._snapshots.get(service)
        return None if snapshot is None else self._outlook.planning_input(self._analysts[service], snapshot, self._details, self._insights)

    def planned(self, capacity: Capacity, recommendations: Recommendations) -> None:
        """Take a plan: it is published at the next tick."""
        self._outlook.take(capacity, recommendations)

    def _snapshot(self, analyst: ServiceAnalyst, tick: Tick) -> bytes:
        analyst.drained, analyst.weights = self._orders.drained, self._orders.weights
        analyst.policy, analyst.elected = self._orders.followed(analyst.service, self._configured[analyst.service], elects=self._elects)
        analyst.experiment = self._ledger.of(analyst.service)
        snapshot = analyst.tick(tick, self._totals, self._quantiles)
        self._states |= {target.id: target.state for target in snapshot.targets}
        self._snapshots[analyst.service] = snapshot
        return encode_snapshot(snapshot)

    @property
    def said_once(self) -> bool:
        """Whether the last tick said something that is said once: a checkpoint should know of it first."""
        return self._insights.said_once or self._outlook.said_once or self._ledger.said_once

    def checkpoint(self) -> Message:
        """Where this leader is, to be published after the messages of the last tick."""
        checkpoint = Checkpoint(
            term=self._term, seq=self._seq, at_ms=self._tick_ms, config_version=self._config.version, offsets=self.merge.offsets, control=self._control,
            trips=self._trips, **self._orders.state(), experiments=self._ledger.state(), details_ms=self._details_ms, fresh=self._fresh,
            quantiles={name: (found.ttft_ms, found.tpot_ms) for name, found in sorted(self._quantiles.items())},
            services={service: analyst.state() for service, analyst in self._analysts.items()}, insights=self._insights.state(),
            advice=self._outlook.state(),
        )  # fmt: skip
        return Message(STATE, b"checkpoint", checkpoint.encode())


def _insight(insight: Insight) -> Message:
    return Message(INSIGHTS, insight.key.encode(), encode_insight(insight))
