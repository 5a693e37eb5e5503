"""What is stored in InfluxDB: every measurement with its tags and fields, their types, units and meanings, and the bucket it lives in.

The one place that says so: lines are encoded, buckets made, pages written and queries checked from it. A type never changes once a field
has been written anywhere: the server holds types per shard only, and hides what differs in an older one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from routecast.models import telemetry

Kind = Literal["int", "float", "string"]
Precision = Literal["ms", "ns"]
Bucket = Literal["7d", "30d", "90d", "1y", "2y", "replay"]

_DAY_S: Final = 86_400
RETENTION_S: Final[Mapping[Bucket, int]] = {"7d": 7 * _DAY_S, "30d": 30 * _DAY_S, "90d": 90 * _DAY_S, "1y": 365 * _DAY_S, "2y": 730 * _DAY_S, "replay": 0}
"""How long each bucket keeps what it is given, s; 0: for ever."""

ALL: Final = "_all"
"""Value of the tag `target` (and `service`) where a point is about all of them."""
OTHER: Final = "_other"
"""Value of a tag that has had too many values already."""
UNKNOWN: Final = "unknown"
"""Value of a tag about which nothing is known."""

FORBIDDEN: Final = frozenset({"bucket", "organization", "windowPeriod", "defaultBucket", "timeRangeStart", "timeRangeStop", "time"})
"""Names that Grafana or Flux take for something else."""

BOUNDS_S: Final = telemetry.BOUNDS_S
"""Upper bounds of the bars of `latency_hist`, s: those of OpenTelemetry's durations of AI clients."""


class Tag(NamedTuple):
    """A text by which points are found and grouped."""

    name: str
    description: str


class Field(NamedTuple):
    """A figure or a text of a point."""

    name: str
    kind: Kind
    unit: str
    """Empty where it has none."""
    description: str


class Measurement(NamedTuple):
    """Points of one kind."""

    name: str
    description: str
    tags: tuple[Tag, ...]
    fields: tuple[Field, ...]
    buckets: Mapping[str, Bucket]
    """By the value of the tag `window`; under the empty text where there is no such tag."""
    precision: Precision = "ms"
    """`ns` where many may speak of the same millisecond: the digits below it say where on the log a point comes from."""

    @property
    def tag_names(self) -> tuple[str, ...]:
        """In the order in which points give them."""
        return tuple(tag.name for tag in self.tags)

    @property
    def field_names(self) -> tuple[str, ...]:
        """In the order in which points give them."""
        return tuple(field.name for field in self.fields)


def bar(bound_s: float) -> str:
    """Field of `latency_hist` for an upper bound: padded with zeros, so that names sort like the bounds."""
    whole, hundredths = divmod(round(bound_s * 100), 100)
    return f"le_{whole:02d}_{hundredths:02d}"


_TARGET = Tag("target", f"the target; `{ALL}`: all of them together")
_PROVIDER = Tag("provider", "who runs it")
_MODEL = Tag("model", "what it runs")
_SERVICE = Tag("service", f"group of interchangeable targets; `{ALL}`: the whole system")
_REGION = Tag("region", "where it is")
_WINDOW = Tag("window", "length of the window: `10s`, `1m` or `1h`")
_WINDOWS: Final[Mapping[str, Bucket]] = {"10s": "7d", "1m": "30d", "1h": "2y"}


def _ints(unit: str, **described: str) -> tuple[Field, ...]:
    return tuple(Field(name, "int", unit, text) for name, text in described.items())


def _floats(unit: str, **described: str) -> tuple[Field, ...]:
    return tuple(Field(name, "float", unit, text) for name, text in described.items())


def _strings(**described: str) -> tuple[Field, ...]:
    return tuple(Field(name, "string", "", text) for name, text in described.items())


PROVIDER_WINDOW: Final = Measurement(
    "provider_window",
    "Attempts that ended in a closed window, per target and for all targets of a service. Its time is the end of the window.",
    (_TARGET, _PROVIDER, _MODEL, _SERVICE, _REGION, _WINDOW),
    _ints("", requests="attempts that ended", errors="of them with an error", timeouts="of them at their deadline",
          rate_limited="of them refused (429)", cancelled="of them given up by the caller, or the caller's own fault")
    + _floats("s", latency_mean_s="mean duration of successes and time-outs", latency_min_s="shortest", latency_p50_s="median",
              latency_p90_s="90th percentile", latency_p95_s="95th percentile", latency_p99_s="99th percentile", latency_max_s="longest",
              ttft_p50_s="median time to first chunk", ttft_p95_s="its 95th percentile", tpot_p95_s="95th percentile of the time per output token")
    + _floats("ratio", error_ratio="errors, time-outs and refusals of all but the caller's own", timeout_ratio="time-outs of them",
              rate_limit_ratio="refusals of them")
    + _floats("1/min", rpm="attempts per minute", tpm="input and output tokens per minute")
    + _ints("", in_flight_max="most requests open at once", queue_depth="deepest queue that targets reported")
    + _floats("score", quality="mean quality, 0..1", satisfaction="mean satisfaction, 0..1")
    + _floats("USD", cost_usd="cost of all requests") + _ints("", tokens="input and output tokens")
    + _floats("ratio", cpu="mean processor load that targets reported, 0..1", memory="mean memory in use, 0..1")
    + _floats("ms", network_ms="mean network latency that targets reported") + _ints("", judgements="judgements behind `quality`"),
    _WINDOWS,
)  # fmt: skip

LATENCY_HIST: Final = Measurement(
    "latency_hist",
    "How durations of successes and time-outs are distributed in a closed window. Its time is the end of the window.",
    (_TARGET, _SERVICE, _WINDOW),
    _ints("", **{bar(bound): f"longer than the bound before, up to {bound:g} s" for bound in BOUNDS_S}, le_inf=f"longer than {BOUNDS_S[-1]:g} s"),
    _WINDOWS,
)

PROVIDER_SCORE: Final = Measurement(
    "provider_score",
    "What routers were told of a target: the last snapshot in the first second (or period) of every ten.",
    (_TARGET, _SERVICE),
    _floats("score", score="performance score, 0..1", quality="quality, 0..1")
    + _floats("ratio", reliability="lower bound of the success ratio", share="planned share of the service's traffic", current_load="factor current load",
              history="factor history", real_time="factor real-time metrics", headroom="free part of its rate limits",
              ramp="part of its planned share that it takes while it recovers")
    + _floats("s", cost_s="expected cost of a success", time_s="time of an average request", service_s="the same without a queue")
    + _floats("USD", usd="price of an average request")
    + _floats("", weight="configured or set weight", capacity="concurrent requests it serves without a queue", in_flight="requests open",
              evidence="completed requests behind it, decayed")
    + _ints("", rank="1 = best score of its service"),
    {"": "7d"},
)  # fmt: skip

PROVIDER_STATE: Final = Measurement(
    "provider_state",
    "State of a target: when it changes, and every ten seconds.",
    (_TARGET, _SERVICE),
    _strings(state="`ok`, `degraded`, `recovering`, `rate_limited`, `open`, `drained` or `unknown`")
    + _ints("", code="the same as a number, 0 = ok, in this order"),
    {"": "90d"},
)

ROUTER_DECISION: Final = Measurement(
    "router_decision",
    "Decisions of one router since its last report, ten seconds before.",
    (_SERVICE, Tag("policy", "policy that decided"), Tag("outcome", "what became of it"), Tag("reason", "why it was no plain draw")),
    _ints("", count="decisions")
    + _floats("us", decision_us_p50="median time of a decision of this router", decision_us_p99="its 99th percentile")
    + _floats("s", snapshot_age_s="age of the snapshot it decided by")
    + _ints("", queue="requests that wait in this router", dropped="events this process could not report since it started"),
    {"": "7d"},
    "ns",
)

TREND: Final = Measurement(
    "trend",
    "Where a metric goes. Its time is the end of the last window looked at; figures are in the unit of the metric.",
    (_TARGET, _SERVICE, Tag("metric", "`response_time`, `ttft`, `tpot` (ms), `error_ratio`, `throughput` (1/min), `quality` or `cost` (USD)")),
    _floats("", current="level at the end", previous="level at the beginning", change="difference")
    + _floats("ratio", change_ratio="difference ÷ level at the beginning", confidence="1 − p of there being no trend")
    + _strings(trend="`improving`, `declining`, `stable` or `unknown`"),
    {"": "2y"},
)

ALERT: Final = Measurement(
    "alert",
    "Every word about an alert: raised, updated, cleared. Its time is when it was looked at.",
    (_TARGET, _SERVICE, Tag("kind", "`error_rate`, `response_time`, `throughput` or `quality`"), Tag("severity", "`low`, `medium`, `high` or `critical`"),
     Tag("rule", "`threshold` or `burn_rate`")),
    _strings(state="`raised`, `updated` or `cleared`")
    + _floats("", threshold="what the value exceeded or fell below", value="what it was",
              times_over="how many times over its limit, at least 1; 0 where nobody need look: it is over, explained by another, or silenced")
    + _strings(title="one sentence: who, what, how bad, since when")
    + _ints("ms", started_ms="when it began, epoch", ended_ms="when it was over, epoch; absent while it lasts"),
    {"": "2y"},
)  # fmt: skip

ROUTER_EVENT: Final = Measurement(
    "router_event",
    "What people see as marks on the time axis. Its time is the beginning.",
    (Tag("kind", "`alert`, `anomaly`, `control`, `marker` or `state`"), Tag("severity", "`info`, `low`, `medium`, `high` or `critical`"), _TARGET),
    _strings(title="one line", text="the rest") + _ints("ms", end_ms="when it was over, epoch; its beginning where it lasts or has no length"),
    {"": "1y"},
    "ns",
)

CAPACITY: Final = Measurement(
    "capacity",
    "How much load a service can take.",
    (_SERVICE,),
    _floats("1/min", now_per_min="requests that arrive", sustainable_per_min="the most that fits", low_per_min="lower end of its 95 % interval",
            high_per_min="upper end")
    + _floats("ms", wait_p95_ms="95th percentile of waiting at the present load")
    + _ints("", slots="concurrent requests to add (above 0) or that could be spared (below)"),
    {"": "2y"},
)  # fmt: skip

PIPELINE: Final = Measurement(
    "pipeline",
    "How programs of routecast are doing.",
    (Tag("component", "`sink`, `worker`, `leader`"), Tag("instance", "host it runs on, and which process there")),
    _ints("", lag="records on the log that are not stored, or not folded yet", dead_letters="what could not be stored, or used, since it started")
    + _floats("1/s", events_s="lines stored, or events folded, per second")
    + _floats("ms", cycle_ms="mean time of a write, or of a tick")
    + _floats("MB", memory_mb="resident memory")
    + _ints("", influx_up="of the sink: 1 while InfluxDB stores what it is given, 0 otherwise"),
    {"": "7d"},
)

MEASUREMENTS: Final = (
    PROVIDER_WINDOW, LATENCY_HIST, PROVIDER_SCORE, PROVIDER_STATE, ROUTER_DECISION, TREND, ALERT, ROUTER_EVENT, CAPACITY, PIPELINE,
)  # fmt: skip
