"""What emitters write to `routecast.events`: one struct per event type, decoded once, constraints declared.

Field names are the contract. Times and durations are epoch milliseconds (integers or floats), ratios are 0..1, unknown fields
are ignored. A record holds one JSON object or an array of objects.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from routecast.models.config import Policy
from routecast.models.decision_ref import DecisionRef as DecisionRef  # noqa: PLC0414 - whoever reads events reads what they are made of
from routecast.models.experiments import Experiment
from routecast.models.severity import AlertKind, Severity
from routecast.models.wire import Count, DurationMs, EpochMs, Label, Ratio, Text, Usd

Outcome = Literal["ok", "error", "timeout", "rate_limited", "cancelled"]
Urgency = Literal["low", "medium", "high"]

CALLER_FAULTS = frozenset({"auth", "invalid_request", "content_filter", "context_length"})
"""Values of `error_type` that are the caller's own: counted and shown, outside every ratio."""


class _Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", gc=False):
    at_ms: EpochMs
    """When it happened, by the emitter's clock."""
    emitter: Label = ""
    """`host-pid-random`, renewed after a fork."""


class _RequestEvent(_Event, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    request_id: Text
    target: Text
    attempt: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    """Counts from 1; with `request_id` it names one call."""
    provider: Label = ""
    model: Label = ""
    service: Label = ""
    region: Label = ""
    caller_region: Label = ""


class Started(_RequestEvent, frozen=True, kw_only=True, omit_defaults=True, tag="request.started", gc=False):
    """A call to a target began."""

    deadline_ms: DurationMs | None = None
    stream: bool = False
    input_tokens: Count | None = None
    max_output_tokens: Count | None = None
    urgency: Urgency = "medium"
    decision: DecisionRef | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the provider's headers said is left of its rate limits."""

    remaining_requests: Count | None = None
    remaining_tokens: Count | None = None
    reset_ms: DurationMs | None = None
    requests_per_min: Count | None = None
    """What the router that reads the headers makes of the limit itself."""
    tokens_per_min: Count | None = None


class Completed(_RequestEvent, frozen=True, kw_only=True, omit_defaults=True, tag="request.completed", gc=False):
    """A call ended. Self-contained: it counts even if its start was never seen."""

    started_at_ms: EpochMs
    duration_ms: DurationMs
    outcome: Outcome
    start_reported: bool = True
    """False where the emitter wrote no `request.started` for this call (never asked to, or dropped when its buffer was full)."""
    ttft_ms: DurationMs | None = None
    error_type: Label = ""
    http_status: Annotated[int, msgspec.Meta(ge=100, le=599)] | None = None
    retry_after_ms: DurationMs | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost_usd: Usd | None = None
    quality: Ratio | None = None
    satisfaction: Ratio | None = None
    limits: Limits | None = None
    decision: DecisionRef | None = None


class Feedback(_Event, frozen=True, kw_only=True, omit_defaults=True, tag="request.feedback", gc=False):
    """Quality or satisfaction that became known later; it carries what is needed to find the request's window."""

    request_id: Text
    target: Text
    completed_at_ms: EpochMs
    quality: Ratio | None = None
    satisfaction: Ratio | None = None
    arm: Label = ""
    """Of the experiment that the request was part of; empty: of none."""


class Resources(_Event, frozen=True, kw_only=True, omit_defaults=True, tag="target.resources", gc=False):
    """What a target says of itself."""

    target: Text
    cpu: Ratio | None = None
    memory: Ratio | None = None
    network_ms: DurationMs | None = None
    queue_depth: Count | None = None
    capacity: Count | None = None


class DecisionCount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How many decisions of one router had these labels since its last report."""

    service: Text
    policy: Text
    count: Count
    outcome: Label = ""
    reason: Label = ""


class RouterStats(_Event, frozen=True, kw_only=True, omit_defaults=True, tag="router.stats", gc=False):
    """Sign of life of a router, every 10 s."""

    services: Annotated[tuple[Text, ...], msgspec.Meta(max_length=1000)] = ()
    decisions: Annotated[tuple[DecisionCount, ...], msgspec.Meta(max_length=10_000)] = ()
    decision_us_p50: float | None = None
    decision_us_p99: float | None = None
    snapshot_age_ms: float | None = None
    queue: Count = 0
    dropped: Count = 0
    """Events this process could not report since it started: its buffer was full, or they were wrong beyond mending."""


class Tripped(_Event, frozen=True, kw_only=True, omit_defaults=True, tag="target.tripped", gc=False):
    """A router's breaker changed state."""

    target: Text
    state: Literal["open", "closed"] = "open"
    reason: Label = ""


class Control(_Event, frozen=True, kw_only=True, omit_defaults=True, tag="target.control", gc=False):
    """An operator's word about one target; those of policies and experiments are about a service, `silence` and `unsilence` about alerts: without target."""

    target: Label = ""
    action: Literal["drain", "resume", "set_weight", "set_policy", "elect_policy", "silence", "unsilence", "start_experiment", "stop_experiment"]
    weight: Annotated[float, msgspec.Meta(ge=0, le=1000)] | None = None
    """Of `set_weight`; None: as configured."""
    service: Label = ""
    policy: Policy | None = None
    """Of `set_policy`: whose, empty for all services; which, None as configured. Of `elect_policy`, a leader's word: what `auto` follows, by the evidence."""
    experiment: Experiment | None = None
    """Of `start_experiment`: what is to be compared; `service` is its own."""
    name: Label = ""
    """Of `stop_experiment`: which, by name and salt."""
    alert: AlertKind | None = None
    subject: Label = ""
    severity: Severity | None = None
    """Of `silence` and `unsilence`: kind, subject and highest severity of the alerts they are for; None, or empty: any."""
    until_ms: EpochMs | None = None
    why: Label = ""
    """Of `silence`: when it ends; of `silence`, `stop_experiment` and `elect_policy` the reason, for people."""

    @property
    def fault(self) -> str:
        """What it lacks, or has too much; empty: nothing."""
        if (self.action in {"drain", "resume", "set_weight"}) != bool(self.target):
            return f"action {self.action!r} with target {self.target!r}: words about targets name one, others name none"
        if self.action == "silence" and self.until_ms is None:
            return "a silence needs its end, until_ms"
        if self.action == "elect_policy" and not (self.service and self.policy not in {None, "auto"}):
            return "elect_policy needs service and policy, and auto is none"
        if self.action == "stop_experiment" and not (self.service and self.name):
            return "stop_experiment needs service and name"
        if self.action == "start_experiment":
            return self.experiment.fault if self.experiment is not None and self.experiment.service == self.service else "experiment and word need one service"
        return ""

    @property
    def key(self) -> str:
        """What the word is about, the key of its record: compaction keeps the newest of each, and a weight must not make a drain forgotten."""
        silence = f"silence/{self.alert or ''}/{self.severity or ''}/{self.subject}"
        policies = {"set_policy": f"policy/{self.service}", "elect_policy": f"elected/{self.service}"}
        keys = policies | {"set_weight": f"weight/{self.target}", "silence": silence, "unsilence": silence}
        return f"experiment/{self.service}" if self.action.endswith("_experiment") else keys.get(self.action, self.target)


class Marker(_Event, frozen=True, kw_only=True, omit_defaults=True, tag="marker", gc=False):
    """A note on the time axis (a deployment, an experiment), shown to people."""

    title: Text
    text: Annotated[str, msgspec.Meta(max_length=10_000)] = ""


Event = Started | Completed | Feedback | Resources | RouterStats | Tripped | Control | Marker


class BadEvent(NamedTuple):
    """An object that could not be decoded and why; it goes to the dead letters."""

    raw: bytes
    reason: str


def _number(value: object) -> int | float:
    """Numbers of other libraries (numpy) as plain ones."""
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"{type(value).__name__!r} is no number, text or list: events hold nothing else")


_encoder = msgspec.json.Encoder(enc_hook=_number, decimal_format="number")
_one = msgspec.json.Decoder(Event)
_many = msgspec.json.Decoder(list[Event])
_raws = msgspec.json.Decoder(list[msgspec.Raw])

_UNREADABLE = (msgspec.DecodeError, RecursionError)
"""Brackets nested a few thousand deep end in a RecursionError."""
_UNWRITABLE = (msgspec.MsgspecError, TypeError, ValueError, ArithmeticError, RuntimeError)
"""Whatever writing and reading again a struct raises that was filled with anything."""


def encode_events(events: list[Event]) -> bytes:
    """The JSON array of these events, UTF-8, defaults left out. Values are written as they are: `mended` checks them."""
    return _encoder.encode(events)


def decode_events(record: bytes) -> tuple[list[Event], list[BadEvent]]:
    """The events of one record and what of it was bad: one bad object never spoils its array.

    Unless it is nested so deep that its end cannot be found: then the record is bad as a whole.
    """
    try:
        return (_many.decode(record) if record[:1] == b"[" else _decode_loose(record)), []
    except _UNREADABLE as error:
        return _decode_each(record, str(error))


def _decode_loose(record: bytes) -> list[Event]:
    return _many.decode(record) if record.lstrip()[:1] == b"[" else [_one.decode(record)]


def _decode_each(record: bytes, reason: str) -> tuple[list[Event], list[BadEvent]]:
    try:
        raws = _raws.decode(record)
    except _UNREADABLE:
        return [], [BadEvent(record, reason)]
    good: list[Event] = []
    bad: list[BadEvent] = []
    for raw in raws:
        try:
            good.append(_one.decode(raw))
        except _UNREADABLE as error:
            bad.append(BadEvent(bytes(raw), str(error)))
    return good, bad


def mended(event: Event) -> tuple[Event | None, str]:
    """The event as a reader will see it, without the figures that break its contract, and what was wrong with them.

    None where a field that it needs is wrong. For writers: a wrong figure must not cost the report it is part of.
    """
    try:
        return _read_again(event), ""
    except _UNWRITABLE as error:
        return _without_wrong_figures(event), str(error)


def _read_again(event: Event) -> Event:
    again: Event = _one.decode(_encoder.encode(event))
    return again


def _without_wrong_figures(event: Event) -> Event | None:
    kind = type(event)
    if not issubclass(kind, _Event):
        return None
    fields = [(field.name, field.required, getattr(event, field.name)) for field in msgspec.structs.fields(kind)]
    sound = {name: value for name, required, value in fields if required}
    for name, required, value in fields:
        if not required and _made(kind, sound | {name: value}) is not None:
            sound[name] = value
    return _made(kind, sound)


def _made(kind: Callable[..., Event], fields: dict[str, Any]) -> Event | None:
    try:
        return _read_again(kind(**fields))
    except _UNWRITABLE:
        return None
