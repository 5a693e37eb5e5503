"""Reports of routers, markers and operators' words as points: `router_decision` and `router_event`."""

from __future__ import annotations

from typing import Final

from routecast.dashboards.influx.line_protocol import Point
from routecast.dashboards.influx.schema import ALL, ROUTER_DECISION, ROUTER_EVENT
from routecast.dashboards.points.insights import below_ms
from routecast.models.events import Control, Event, Marker, RouterStats

SIGNS: Final = (b'"router.stats"', b'"marker"')
"""What a record of events holds if there is anything in it for us; most have neither, and are not decoded."""


def event_points(event: Event, place: str) -> list[Point]:
    """The points of an event that came from this place on the log; none for requests."""
    if isinstance(event, RouterStats):
        return _decisions(event, place)
    if isinstance(event, Marker):
        return [_mark(("marker", "info", ALL), event.at_ms, event.title, event.text, place)]
    if isinstance(event, Control):
        target, done = (event.target or ALL), _done(event)
        return [_mark(("control", "info", target), event.at_ms, f"{target}: {done}", f"by {event.emitter or 'an operator'}", place)]
    return []


def _mark(tags: tuple[str, str, str], at_ms: float, title: str, text: str, place: str) -> Point:
    return Point(ROUTER_EVENT, tags, at_ms, (title, text, int(at_ms)), below_ms(place))


def _done(word: Control) -> str:
    if word.action == "set_policy":
        return f"policy {word.policy or 'as configured'} for {word.service or 'all services'}"
    if word.action == "elect_policy":
        return f"auto is {word.policy} for {word.service}: {word.why}"
    if word.action == "set_weight":
        return f"weight {'as configured' if word.weight is None else format(word.weight, 'g')}"
    started = f"experiment {word.experiment.name} of {word.service} started" if word.experiment else ""
    about = " of ".join(part for part in (word.alert or "alerts", word.subject) if part)
    return {
        "drain": "drained by hand", "resume": "resumed by hand", "silence": f"{about} silenced: {word.why}", "unsilence": f"{about} heard again",
        "start_experiment": started, "stop_experiment": f"experiment {word.name.rpartition('.')[0]} of {word.service} stopped: {word.why}",
    }[word.action]  # fmt: skip


def _decisions(stats: RouterStats, place: str) -> list[Point]:
    """A router counts by outcome and by reason, each with the other summed up."""
    age_s = None if stats.snapshot_age_ms is None else stats.snapshot_age_ms / 1000
    rest = (stats.decision_us_p50, stats.decision_us_p99, age_s, stats.queue, stats.dropped)
    nudge = below_ms(place)
    return [Point(ROUTER_DECISION, (d.service, d.policy, d.outcome or ALL, d.reason or ALL), stats.at_ms, (d.count, *rest), nudge) for d in stats.decisions]
