"""What says how a request log becomes a recording: a file in TOML that names the column of each field."""

from __future__ import annotations

from typing import ClassVar, Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from routecast.models.errors import ConfigError

FieldName = Literal[
    "target", "started_at", "ended_at", "duration", "outcome", "http_status", "request_id", "attempt", "provider", "model", "service", "region",
    "caller_region", "error_type", "ttft", "deadline", "retry_after", "input_tokens", "output_tokens", "max_output_tokens", "cost_usd", "quality",
    "satisfaction", "urgency", "emitter",
]  # fmt: skip
Unit = Literal["s", "ms", "us", "ns"]
Cell: TypeAlias = str | int | float | bool

UNITS_MS: Final[dict[Unit, float]] = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
"""Milliseconds of a unit."""
TIMES: Final = ("started_at", "ended_at")
DURATIONS: Final = ("duration", "ttft", "deadline", "retry_after")


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class FieldMapping(_Frozen):
    """Where a field comes from: a column, or one value for all lines."""

    column: str | None = Field(default=None, description="its name; of JSON, `usage.total` is `total` within `usage`")
    value: Cell | None = Field(default=None, description="the same for all lines")
    unit: Unit | None = Field(default=None, description="of a duration")
    time: str | None = Field(default=None, description="of a time: iso8601, epoch_s, epoch_ms, epoch_us, epoch_ns, or as %d/%m/%Y %H:%M:%S")
    zone: str = Field(default="UTC", description="of times that name none, such as Europe/Berlin")
    scale: float = Field(default=1.0, gt=0, description="what a number is multiplied with, such as 0.01 for cents")
    values: dict[str, Cell] = Field(default={}, description="what stands in the log = what it means here")
    otherwise: Cell | None = Field(default=None, description="what everything else in `values` means; absent: it is reported")

    @model_validator(mode="after")
    def _one(self) -> FieldMapping:
        if (self.column is None) == (self.value is None):
            raise ValueError("give either column or value")
        return self


class LogMapping(_Frozen):
    """A mapping file."""

    format: Literal["csv", "jsonl"] | None = Field(default=None, description="absent: as the name of the log ends")
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="between the cells of a CSV file")
    missing: tuple[str, ...] = Field(default=("", "-", "null", "None", "NaN", "nan"), description="texts that stand for nothing")
    fields: dict[FieldName, FieldMapping] = Field(description="by field; a text stands for { column = TEXT }")

    @field_validator("fields", mode="before")
    @classmethod
    def _short(cls, fields: object) -> object:
        if not isinstance(fields, dict):
            return fields
        return {name: {"column": said} if isinstance(said, str) else said for name, said in fields.items()}

    @model_validator(mode="after")
    def _whole(self) -> LogMapping:
        given = set(self.fields)
        if "target" not in given:
            raise ValueError("fields.target is missing: which column names the provider or deployment that was called?")
        if len(given & {"started_at", "ended_at", "duration"}) < 2:
            raise ValueError("give two of fields.started_at, fields.ended_at, fields.duration")
        if not given & {"outcome", "http_status"}:
            raise ValueError('give fields.outcome or fields.http_status; where all lines are successes: outcome = { value = "ok" }')
        for name in sorted(given & set(TIMES)):
            if self.fields[name].time is None:
                raise ValueError(f"fields.{name}.time is missing: iso8601, epoch_s, epoch_ms, epoch_us, epoch_ns, or a format such as %d/%m/%Y %H:%M:%S")
        for name in sorted(given & set(DURATIONS)):
            if self.fields[name].unit is None:
                raise ValueError(f"fields.{name}.unit is missing: {', '.join(get_args(Unit))}")
        return self


def mapping_of(document: object, name: str) -> LogMapping:
    """The mapping in a document that was read from the file `name`. Raises ConfigError, which names the key."""
    try:
        return LogMapping.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part != "[key]")
        what = "missing" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{name!r}: {where + ': ' if where else ''}{what}; `routecast import --example` prints a mapping") from None


EXAMPLE: Final = """\
# How a request log becomes a recording: routecast import LOG --mapping THIS --out FILE.rec
format = "csv"                     # or "jsonl"; absent: as the name of the log ends (.csv, .jsonl, .ndjson, each with .gz too)
# delimiter = ";"
# missing = ["", "-", "null"]      # texts that stand for nothing

[fields]                           # field = "column", or a table
target = "deployment"              # what was called; needed
started_at = { column = "timestamp", time = "iso8601", zone = "UTC" }   # or epoch_s, epoch_ms, epoch_us, epoch_ns, "%d/%m/%Y %H:%M:%S"
duration = { column = "latency", unit = "ms" }   # two of started_at, ended_at, duration; units s, ms, us, ns
outcome = { column = "status", values = { success = "ok", throttled = "rate_limited", timed_out = "timeout" }, otherwise = "error" }
http_status = "code"               # enough without outcome: below 400 ok, 429 rate_limited, 408 and 504 timeout, 499 cancelled, others error
service = { value = "chat" }       # the same for all lines
provider = "vendor"
model = "model"
request_id = "id"                  # absent: numbers
attempt = "try"                    # absent: 1
ttft = { column = "first_token", unit = "ms" }
input_tokens = "prompt_tokens"     # of JSON, "usage.prompt_tokens" is prompt_tokens within usage
output_tokens = "completion_tokens"
cost_usd = { column = "cost_cents", scale = 0.01 }
quality = "rating"                 # 0..1; of five stars: { column = "stars", scale = 0.2 }
# also: ended_at, deadline, retry_after, region, caller_region, error_type, max_output_tokens, satisfaction, urgency, emitter
"""
