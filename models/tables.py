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
    Column("arm", "category", "", "arm of an experiment; unknown where there is none"),
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
