"""Recordings as tables: the columns of `events`, `decisions` and `windows`, with their types and units. Names are the contract.

Unknown is NaN (of times NaT, of categories missing), never 0: numbers that may be unknown are floats for that reason. Durations are seconds,
times UTC, ratios 0..1.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["text", "category", "time", "count", "number", "flag", "set"]
"""`text` is str, `category` a pandas categorical of str, `time` datetime64[us, UTC], `count` int64, `number` float64, `flag` bool,
`set` an object that holds a tuple of str, or None."""


class Column(NamedTuple):
    """A column of a table."""

    name: str
    kind: Kind
    unit: str
    """Empty where there is none."""
    meaning: str


DECISIONS = (
    Column("request_id", "text", "", "the request; with `attempt` it names a row"),
    Column("attempt", "count", "", "1 is the first call of a request, more are retries and hedges"),
    Column("started_at", "time", "UTC", "when the call began, by the application's clock: the moment of the decision"),
    Column("ended_at", "time", "UTC", "when it ended; unknown where its end is not in the recording"),
    Column("service", "category", "", "from the event, else from the recorded configuration"),
    Column("target", "category", "", "chosen target"),
    Column("provider", "category", "", "as `service`"),
    Column("model", "category", "", "as `service`"),
    Column("region", "category", "", "of the target, as `service`"),
    Column("caller_region", "category", "", "where the caller is; unknown where nobody said so"),
    Column("policy", "category", "", "policy that decided; unknown where no router did"),
    Column("term", "number", "", "with `seq`, the version of the snapshot that was read; 0 and 0 before the first"),
    Column("seq", "number", "", "see `term`"),
    Column("propensity", "number", "ratio", "probability with which this target was drawn among `allowed`, above 0; that of the others is not logged"),
    Column("candidates", "category", "", "allowed targets as logged: bit mask in the order of the snapshot, hexadecimal"),
    Column("allowed", "set", "", "their ids, in the order of the configuration; None where the recording does not tell"),
    Column("forced", "category", "", "why the draw was not the plain one: `urgent` (no exploration), `preferred`, `unmet`, `fallback`, `panic`, `probe`, "
           "`stale`; `plain` otherwise; unknown where no router decided"),
    Column("hedge", "flag", "", "a second attempt beside a slow first one, or an attempt that such a one has beaten"),
    Column("arm", "category", "", "`EXPERIMENT.SALT/ARM` where an experiment assigned the request; unknown where none did"),
    Column("shadow_arm", "category", "", "arm that only decides; unknown where there is none"),
    Column("shadow_target", "category", "", "what it would have chosen"),
    Column("shadow_propensity", "number", "ratio", "probability with which it drew that"),
    Column("urgency", "category", "", "`low`, `medium`, `high` (no exploration); unknown where the start is not in the recording"),
    Column("deadline_s", "number", "s", "time the call was given"),
    Column("max_output_tokens", "number", "tokens", "most that the caller asked for"),
    Column("input_tokens", "number", "tokens", "as the end says, else as the start expected"),
    Column("output_tokens", "number", "tokens", "of the answer"),
    Column("outcome", "category", "", "`ok`, `error`, `timeout`, `rate_limited`, `cancelled`; unknown where the end is not in the recording"),
    Column("error_type", "category", "", "detail of the outcome; unknown where nobody said so"),
    Column("caller_fault", "flag", "", "whether the error is the caller's own, which says nothing of the target"),
    Column("http_status", "number", "", "of the answer"),
    Column("duration_s", "number", "s", "from start to end, however it ended"),
    Column("ttft_s", "number", "s", "to the first chunk"),
    Column("cost_usd", "number", "USD", "as reported"),
    Column("quality", "number", "ratio", "0..1; later feedback wins over what the end said"),
    Column("satisfaction", "number", "ratio", "0..1, as `quality`"),
    Column("emitter", "category", "", "process that reported it"),
)  # fmt: skip
"""One row for each call to a target, in the order of `started_at`; an attempt that never ended in the recording has a row too."""

EVENTS = (
    Column("partition", "count", "", "of the topic of events; with `offset` the record"),
    Column("offset", "count", "", "of the record, which may hold many events"),
    Column("appended_at", "time", "UTC", "when the log took the record"),
    Column("happened_at", "time", "UTC", "by the emitter's clock"),
    Column("type", "category", "", "`request.started`, `request.completed`, `request.feedback`, `target.resources`, `router.stats`, `marker`, …"),
    Column("emitter", "category", "", "process that reported it"),
    Column("request_id", "text", "", "of `request.…`"),
    Column("attempt", "number", "", "of `request.started` and `request.completed`, from 1"),
    Column("target", "category", "", "whom it is about"),
    Column("provider", "category", "", "as the event says; unknown where it says nothing"),
    Column("model", "category", "", "the same"),
    Column("service", "category", "", "the same"),
    Column("region", "category", "", "the same"),
    Column("caller_region", "category", "", "the same"),
    Column("urgency", "category", "", "of `request.started`"),
    Column("deadline_s", "number", "s", "of `request.started`: time the call was given"),
    Column("max_output_tokens", "number", "tokens", "of `request.started`"),
    Column("input_tokens", "number", "tokens", "expected by `request.started`, counted by `request.completed`"),
    Column("output_tokens", "number", "tokens", "of `request.completed`, as what follows"),
    Column("outcome", "category", "", "`ok`, `error`, `timeout`, `rate_limited`, `cancelled`"),
    Column("error_type", "category", "", "detail of the outcome"),
    Column("http_status", "number", "", "of the answer"),
    Column("retry_after_s", "number", "s", "what the provider asked to wait"),
    Column("duration_s", "number", "s", "from start to end"),
    Column("ttft_s", "number", "s", "to the first chunk"),
    Column("cost_usd", "number", "USD", "as reported"),
    Column("quality", "number", "ratio", "0..1; of `request.feedback` too"),
    Column("satisfaction", "number", "ratio", "the same"),
    Column("cpu", "number", "ratio", "of `target.resources`, as what follows"),
    Column("memory", "number", "ratio", "in use"),
    Column("network_s", "number", "s", "latency of the network"),
    Column("queue_depth", "number", "", "requests that wait there"),
    Column("capacity", "number", "", "concurrent requests it says it can serve"),
)
"""One row for each event, in the order of append times. What an event cannot have is unknown."""

WINDOWS = (
    Column("kind", "category", "", "`target`, `provider`, `service` or `system`"),
    Column("id", "category", "", "of it"),
    Column("window", "category", "", "`10s`, `1m` or `1h`"),
    Column("starts_at", "time", "UTC", "beginning of the window"),
    Column("ends_at", "time", "UTC", "its end"),
    Column("covered_s", "number", "s", "length of the part of it that is in the recording: what rates are divided by"),
    Column("provider", "category", "", "of a target"),
    Column("model", "category", "", "of a target"),
    Column("service", "category", "", "of a target"),
    Column("region", "category", "", "of a target"),
    Column("requests", "count", "", "attempts that ended in the window"),
    Column("ok", "count", "", "of them, how many succeeded"),
    Column("errors", "count", "", "failed"),
    Column("timeouts", "count", "", "ran out of time"),
    Column("rate_limited", "count", "", "were refused (429)"),
    Column("cancelled", "count", "", "were given up by the caller"),
    Column("caller_fault", "count", "", "failed by the caller's own fault"),
    Column("requests_per_min", "number", "1/min", "`requests` by `covered_s`"),
    Column("tokens_per_min", "number", "1/min", "input and output together"),
    Column("success_ratio", "number", "ratio", "successes ÷ attempts but `cancelled` and `caller_fault`"),
    Column("error_ratio", "number", "ratio", "errors, the same way"),
    Column("timeout_ratio", "number", "ratio", "time-outs, the same way"),
    Column("rate_limit_ratio", "number", "ratio", "refusals, the same way"),
    Column("latency_mean_s", "number", "s", "duration of successes and time-outs: mean"),
    Column("latency_min_s", "number", "s", "shortest"),
    Column("latency_p50_s", "number", "s", "median; percentiles are within 1 %"),
    Column("latency_p90_s", "number", "s", "90th percentile"),
    Column("latency_p95_s", "number", "s", "95th percentile"),
    Column("latency_p99_s", "number", "s", "99th percentile"),
    Column("latency_max_s", "number", "s", "longest"),
    Column("ttft_p50_s", "number", "s", "time to first chunk: median"),
    Column("ttft_p95_s", "number", "s", "95th percentile"),
    Column("tpot_p50_s", "number", "s", "time per output token: median"),
    Column("tpot_p95_s", "number", "s", "95th percentile"),
    Column("in_flight_max", "number", "", "most that were open at once, looked at every half-second"),
    Column("input_tokens", "number", "tokens", "sum; unknown where nobody reported any, as the next two"),
    Column("output_tokens", "number", "tokens", "sum"),
    Column("cost_usd", "number", "USD", "sum"),
    Column("quality", "number", "ratio", "mean"),
    Column("satisfaction", "number", "ratio", "mean"),
    Column("cpu", "number", "ratio", "mean of what targets reported"),
    Column("memory", "number", "ratio", "the same"),
    Column("network_s", "number", "s", "the same"),
    Column("queue_depth", "number", "", "deepest queue they reported"),
)
"""One row for each closed window of each target, provider, service and the system in which anything happened."""
