"""What is known of the fleet from the records of its log, in whatever order and number they come: the newest, and what became of it.

Delivery: a record that comes again, or late, changes nothing; one that cannot be read is left out. Memory: the newest snapshot and details
of every service, ten minutes of points and five hundred happenings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from routecast.analytics.routing.availability import USABLE
from routecast.dashboards.terminal.board import Happening, Since
from routecast.dashboards.terminal.glance import Glance, glance
from routecast.dashboards.terminal.history import History
from routecast.dashboards.terminal.news import News
from routecast.dashboards.terminal.traffic import Traffic, plans
from routecast.dashboards.terminal.words import line_of, percent
from routecast.models.config import Config
from routecast.models.details import Details
from routecast.models.events import Control
from routecast.models.insights import Alert, Change, Insight, decode_insight
from routecast.models.snapshot import RoutingSnapshot, State, TargetScore, decode_snapshot
from routecast.models.tick import Claim, decode_tick
from routecast.streams.brokers.reading import decoded
from routecast.streams.leadership.leader import trips_of, word_of
from routecast.streams.memory import Record
from routecast.streams.topics import CONTROL, DETAILS, INSIGHTS, SCORES, TICKS, TRIPS, Topic

KEPT: Final = 500
_CLAIM: Final = b'"type":"claim"'
_TOLD: Final = ("alert", "change", "recommendation")
_FAILING: Final = {"open", "recovering"}
_LEAST_SHARE: Final = 0.02
"""Of an equal share: routers draw no usable target less often, as `analytics.routing.candidates` has it."""
_SAME_TRIP_MS: Final = 10_000.0
"""Routers that trip over the same thing within this time are one line."""


class Standing(NamedTuple):
    """The state of a target. What is tried again and fails again is one story: `open` and `recovering` begin together."""

    state: State
    since: Since
    before: Mapping[str, float]
    """Shares of its service before it came to that; empty where that was not seen."""


class Journal:
    """Takes records; others read what is known.

    Args:
        config: says which services are routed by plans.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.snapshots: dict[str, RoutingSnapshot] = {}
        self.planned: dict[str, Mapping[str, float]] = {}
        """By service and target, as `shares` of the newest snapshot; empty where routers do not go by it."""
        self.traffic = Traffic()
        self.glances: dict[str, Glance] = {}
        self.insights: dict[str, Insight] = {}
        self.standings: dict[tuple[str, str], Standing] = {}
        """By service and target."""
        self.history = History()
        self.happenings: deque[Happening] = deque(maxlen=KEPT)
        self.told_by: dict[str, str] = {}
        """By target, who drained it; empty where nobody said so."""
        self.leader = ""
        self._details: dict[str, bytes] = {}
        self._news = News(_TOLD, None)
        self._trips: dict[tuple[str, str], float] = {}

    def take(self, topic: Topic, record: Record) -> None:
        """Take a record of any topic."""
        if record.value is None:
            return
        if topic == SCORES and (snapshot := decoded(record.value, decode_snapshot)) is not None:
            self._see(snapshot)
        elif topic == DETAILS and (found := decoded(record.value, glance)) is not None:
            self._measure(found, record.value)
        elif topic == INSIGHTS and (insight := decoded(record.value, decode_insight)) is not None:
            self._understand(insight)
        elif topic == CONTROL and (word := word_of(record.value)[0]) is not None:
            self._hear(word, record.append_ms)
        elif topic == TRIPS:
            self._heed(record)
        elif topic == TICKS and _CLAIM in record.value and isinstance(claim := decoded(record.value, decode_tick), Claim):
            self.leader = line_of(claim.worker)
            self._note(record.append_ms, "leader", self.leader, None, "leads", f"worker {self.leader} leads from now on, term {record.offset}")

    def details(self, service: str) -> Details | None:
        """Everything that is published of a service; read only when it is asked for."""
        return decoded(self._details.get(service), Details.decode)

    def _see(self, new: RoutingSnapshot) -> None:
        old = self.snapshots.get(new.service)
        if old is not None and new.version <= old.version:
            return
        before = self.planned.get(new.service, {})
        self.snapshots[new.service], self.planned[new.service] = new, shares(new) if plans(self._config, new) else {}
        for target in new.targets:
            known = self.standings.get((new.service, target.id))
            if known is None or known.state != target.state:
                self._turn(new, target, known, before)

    def _turn(self, new: RoutingSnapshot, target: TargetScore, known: Standing | None, before: Mapping[str, float]) -> None:
        """A target came to another state."""
        place = (new.service, target.id)
        if known is None or known.state == "unknown":
            self.standings[place] = Standing(target.state, Since(at_ms=new.at_ms, exact=known is not None), {})
            return
        goes_on = {known.state, target.state} == _FAILING
        self.standings[place] = known._replace(state=target.state) if goes_on else Standing(target.state, Since(at_ms=new.at_ms, exact=True), before)
        old, now = before.get(target.id), self.planned[new.service].get(target.id)
        moved = "" if old is None or now is None else f", planned share {percent(old)} → {percent(now)}"
        self._note(new.at_ms, "state", line_of(target.id), new.service, target.state, f"{known.state} → {target.state}{moved}")

    def _measure(self, found: Glance, raw: bytes) -> None:
        old = self.glances.get(found.service)
        if old is None or found.at_ms > old.at_ms:
            self.glances[found.service], self._details[found.service] = found, raw
            self.history.take(found)
            self.traffic.take(found)

    def _understand(self, insight: Insight) -> None:
        self.insights[insight.key] = insight
        for item in self._news.of(insight):
            service = insight.subject.service if isinstance(insight, Alert | Change) else insight.service
            self._note(item.at_ms, item.kind, item.who, service, item.level, item.said)

    def _hear(self, word: Control, at_ms: float) -> None:
        who = line_of(word.emitter)
        if word.action == "drain":
            self.told_by[word.target] = who
        by = f" by {who}" if who else " by an operator"
        about = word.target or word.service or word.subject or "all services"
        self._note(at_ms, "word", line_of(about), word.service or None, word.action.replace("_", " "), line_of(f"{_wish(word)}{by}"))

    def _heed(self, record: Record) -> None:
        for word in trips_of(record.value or b"")[0]:
            place = (word.target, word.state)
            if record.append_ms - self._trips.get(place, -_SAME_TRIP_MS) < _SAME_TRIP_MS:
                continue
            self._trips[place] = record.append_ms
            what = "trips its breaker" if word.state == "open" else "closes its breaker"
            reason = f": {word.reason}" if word.reason else ""
            self._note(record.append_ms, "trip", line_of(word.target), None, word.state, line_of(f"router {word.emitter or 'somewhere'} {what}{reason}"))

    def _note(self, at_ms: float, kind: str, who: str, service: str | None, level: str, text: str) -> None:
        self.happenings.append(Happening.model_validate({"at_ms": at_ms, "kind": kind, "who": who, "service": service, "level": level, "text": text}))


def _wish(word: Control) -> str:
    """What an operator said, in words."""
    return {
        "drain": "taken out of service", "resume": "put back into service", "silence": f"alerts silenced ({word.why or 'no reason given'})",
        "set_weight": "weighs what is configured" if word.weight is None else f"weighs {word.weight:g}", "unsilence": "alerts are heard again",
        "set_policy": f"policy {word.policy}" if word.policy else "the configured policy", "elect_policy": f"auto is {word.policy} ({word.why})",
        "start_experiment": f"experiment {word.experiment.name} started" if word.experiment else "", "stop_experiment": f"experiment stopped ({word.why})",
    }[word.action]  # fmt: skip


def shares(snapshot: RoutingSnapshot) -> dict[str, float]:
    """What routers send to each target, 0..1, as far as a snapshot tells: nothing to what is closed off, unless that were more than half."""
    closed = [entry for entry in snapshot.targets if entry.state == "open" or (entry.state == "recovering" and entry.ramp <= 0)]
    panic = 2 * len(closed) > len(snapshot.targets)
    least = _LEAST_SHARE / max(1, len(snapshot.targets))
    planned = {entry.id: max(entry.share, least) * entry.ramp if entry.state in USABLE and entry.headroom > 0 else 0.0 for entry in snapshot.targets}
    if panic:
        planned |= {entry.id: entry.share for entry in closed}
    total = sum(planned.values())
    return {name: share / total for name, share in planned.items()} if total > 0 else planned
