"""Names of everything that programs tell of themselves by HTTP, in one place: ours begin with `routecast_`, the rest are OpenTelemetry's.

The OpenTelemetry conventions for generative AI are still moving: where a name of theirs changes, it changes here. Dots are underscores, seconds
are in the name, as Prometheus wants it.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

BOUNDS_S: Final = tuple(round(0.01 * 2**power, 2) for power in range(14))
"""Upper bounds of the bars of every distribution of durations, s; the last bar is open."""

Kind = Literal["counter", "gauge", "histogram"]
Program = Literal["worker", "leader", "sink"]
"""The leader is the worker that publishes."""

PROVIDER: Final = "gen_ai_provider_name"
MODEL: Final = "gen_ai_request_model"
TOKEN_TYPE: Final = "gen_ai_token_type"  # noqa: S105 - of language models
OTHER: Final = "_other"
"""All targets that are not configured, together: whoever writes events must not be able to make series."""


class Family(NamedTuple):
    """Series of one name."""

    name: str
    kind: Kind
    meaning: str
    programs: tuple[Program, ...]
    labels: tuple[str, ...] = ()


_EVERY: Final[tuple[Program, ...]] = ("worker", "sink")
_TARGET: Final = ("target", "service")

BUILD: Final = Family("routecast_build_info", "gauge", "1; the label is the version", _EVERY, ("version",))
READY: Final = Family("routecast_ready", "gauge", "1 while `/readyz` says so", _EVERY)
DEAD_LETTERS: Final = Family("routecast_dead_letters_total", "counter", "records that this process gave to the dead letters", _EVERY)

FOLDED: Final = Family("routecast_events_folded_total", "counter", "events that this process has folded, also those read again after a takeover", ("worker",))
BAD: Final = Family("routecast_events_bad_total", "counter", "events that this process could not read", ("worker",))
LAG: Final = Family(
    "routecast_events_lag", "gauge", "records of the partition that are not folded yet, as far as fetches have told", ("worker",), ("partition",),
)  # fmt: skip
LEADS: Final = Family("routecast_leader", "gauge", "1 on the worker that leads, 0 on the others", ("worker",))

TERM: Final = Family("routecast_leader_term", "gauge", "of this leadership; rises with every takeover", ("leader",))
TICKS: Final = Family("routecast_tick_duration_seconds", "histogram", "from the beginning of a tick until the log has confirmed what it published", ("leader",))
SNAPSHOT_AGE: Final = Family("routecast_snapshot_age_seconds", "gauge", "since the newest snapshot was made", ("leader",))
ROUTERS: Final = Family("routecast_routers", "gauge", "routers that gave a sign of life in the last 30 s", ("leader",))
STARTED: Final = Family("routecast_requests_started_total", "counter", "attempts that began, since the pipeline began", ("leader",), _TARGET)
REQUESTS: Final = Family(
    "routecast_requests_total", "counter",
    "attempts that ended, since the pipeline began: `ok`, `error`, `timeout`, `rate_limited`, `cancelled`, `caller_fault`", ("leader",), (*_TARGET, "outcome"),
)  # fmt: skip
IN_FLIGHT: Final = Family("routecast_requests_in_flight", "gauge", "attempts that are open", ("leader",), _TARGET)
TOKENS: Final = Family("routecast_tokens_total", "counter", "`input` and `output` tokens, since the pipeline began", ("leader",), (*_TARGET, TOKEN_TYPE))
COST: Final = Family("routecast_cost_usd_total", "counter", "reported or computed cost, since the pipeline began", ("leader",), _TARGET)
STATE: Final = Family("routecast_target_state", "gauge", "1; the label is the state that routers see", ("leader",), (*_TARGET, "state"))
DURATION: Final = Family(
    "gen_ai_client_operation_duration_seconds", "histogram", "of attempts that succeeded or timed out; begins ten minutes before the leader took over",
    ("leader",), (*_TARGET, PROVIDER, MODEL),
)  # fmt: skip
FIRST_CHUNK: Final = Family(
    "gen_ai_client_operation_time_to_first_chunk_seconds", "histogram", "of attempts that streamed; begins ten minutes before the leader took over",
    ("leader",), (*_TARGET, PROVIDER, MODEL),
)  # fmt: skip

POINTS: Final = Family("routecast_sink_points_total", "counter", "points that InfluxDB has stored", ("sink",))
REJECTED: Final = Family("routecast_sink_rejected_total", "counter", "points that InfluxDB will never store; they are among the dead letters", ("sink",))
BATCHES: Final = Family("routecast_sink_batches_total", "counter", "requests to InfluxDB", ("sink",))
RETRIES: Final = Family("routecast_sink_retries_total", "counter", "of them, those that InfluxDB did not answer or put off", ("sink",))
BUSY: Final = Family("routecast_sink_busy_seconds_total", "counter", "time spent in requests to InfluxDB", ("sink",))
INFLUX_UP: Final = Family("routecast_sink_influx_up", "gauge", "1 while InfluxDB stores what it is given, 0 otherwise", ("sink",))
SINK_LAG: Final = Family("routecast_sink_lag", "gauge", "records of the topic that are not stored yet, as far as fetches have told", ("sink",), ("topic",))

FAMILIES: Final = (
    BUILD, READY, DEAD_LETTERS, FOLDED, BAD, LAG, LEADS, TERM, TICKS, SNAPSHOT_AGE, ROUTERS, STARTED, REQUESTS, IN_FLIGHT, TOKENS, COST, STATE, DURATION,
    FIRST_CHUNK, POINTS, REJECTED, BATCHES, RETRIES, BUSY, INFLUX_UP, SINK_LAG,
)  # fmt: skip


class Bars(NamedTuple):
    """A distribution: how many durations up to each bound and not up to the one before, the last beyond all, and their sum."""

    counts: tuple[int, ...]
    sum_s: float


class Sample(NamedTuple):
    """One series at one moment."""

    family: Family
    value: float | Bars
    labels: tuple[str, ...] = ()
    """In the order of the family's."""


def table() -> str:
    """All families as a table in Markdown."""
    rows = [
        f"| `{family.name}` | {family.kind} | {', '.join(f'`{label}`' for label in family.labels)} | {', '.join(family.programs)} | {family.meaning} |"
        for family in FAMILIES
    ]
    return "\n".join(["| name | kind | labels | told by | meaning |", "|---|---|---|---|---|", *rows]) + "\n"
