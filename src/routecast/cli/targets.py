"""`routecast targets`: what is published of the targets, taking them out of service and back, and their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from routecast.cli.kafka import File, Json, Plain, Url, ask, configured
from routecast.cli.render import Form, complain, form, show, show_json, show_rows

if TYPE_CHECKING:
    from pathlib import Path

    from routecast.models.config import Config
    from routecast.models.details import SubjectDetails, WindowDetails
    from routecast.models.events import Control
    from routecast.models.targets import SnapshotAge, TargetFigures, Word
    from routecast.streams.operators.published import Published

USAGE = 2

app = typer.Typer(no_args_is_help=True, help="Look at targets; take them out of service and back; weigh them.")
Id = Annotated[str, typer.Argument(metavar="ID", help="The target.")]
Wait = Annotated[float, typer.Option(min=0, max=600, help="Longest wait for a snapshot that shows it, seconds; 0 does not wait.")]
Force = Annotated[bool, typer.Option("--force", help="Even where nobody knows this target.")]

Action = Literal["drain", "resume", "set_weight"]

_MEANING = {
    "state": "ok, degraded, open, recovering, rate_limited, drained or unknown", "ramp": "how much of its share a recovering target takes",
    "time_s": "time of an average request of the service", "service_s": "mean time of a request that meets no queue",
    "capacity": "concurrent requests it serves without making them wait", "share": "planned share of the service's traffic",
    "in_flight": "requests open when the snapshot was built", "in_flight_mean": "requests in flight, averaged over time",
    "oldest_open_ms": "age of the oldest open request", "cost_s": "expected time to a success", "success": "lower bound of the success ratio",
    "fail_s": "mean time of a failure", "quality": "mean of the feedback, or as configured", "quality_n": "feedback behind it",
    "usd": "expected price of an average request", "headroom": "free part of its rate limits", "weight": "factor of the policy `weighted`",
    "score": "response time, reliability and quality together", "load": "factor current load", "history": "score over the long horizon",
    "newcomer": "known too little to get more than the capped share", "regions_ms": "by region of the caller, what the first chunk takes longer",
    "real_time": "score over the last minute", "n": "requests behind the estimates, decayed",
}  # fmt: skip
_HEADS = ("window", "requests", "per min", "success", "errors", "timeouts", "429", "mean ms", "p50", "p95", "p99", "ttft p95", "tok/min", "usd", "quality")


@app.command("list")
def list_targets(*, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False) -> None:
    """List the targets of all services with state, share, requests in flight, success, cost, score, weight and the policy of their service."""
    from routecast.streams.clock import SystemClock  # noqa: PLC0415 - slow to import
    from routecast.streams.operators.published import lines  # noqa: PLC0415

    loaded, published = look(config, kafka)
    found = lines(loaded, published, SystemClock().now_ms())
    warn_of_silence(loaded, found.snapshots)
    if json:
        show_json(found)
        return
    rows = [
        (t.id, t.service, t.state, _ratio(t.share), _number(t.in_flight), _ratio(t.success), _number(t.cost_s), _number(t.score), _number(t.weight), t.policy)
        for t in found.targets
    ]
    show_rows(("target", "service", "state", "share", "in flight", "success", "cost s", "score", "weight", "policy"), rows, form(json=json, plain=plain))


@app.command("show")
def show_target(target: Id, *, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False) -> None:
    """Show every published figure of a target, and its windows."""
    from routecast.streams.clock import SystemClock  # noqa: PLC0415 - slow to import
    from routecast.streams.operators.published import figures  # noqa: PLC0415

    loaded, published = look(config, kafka)
    _refuse_unknown(loaded, published, target)
    found = figures(loaded, published, target, SystemClock().now_ms())
    warn_of_silence(loaded, [found.snapshot] if found.snapshot else ())
    if json:
        show_json(found)
    else:
        _print(found, form(json=json, plain=plain))


@app.command()
def drain(
    target: Id, *, wait: Wait = 10.0, force: Force = False, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False
) -> None:  # fmt: skip
    """Take a target out of service: routers send it nothing new, what is under way ends in its own time."""
    _tell(target, "drain", None, wait, config, kafka, force=force, chosen=form(json=json, plain=plain))


@app.command()
def resume(
    target: Id, *, wait: Wait = 10.0, force: Force = False, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False
) -> None:  # fmt: skip
    """Put a drained target back into service."""
    _tell(target, "resume", None, wait, config, kafka, force=force, chosen=form(json=json, plain=plain))


@app.command("set-weight")
def set_weight(
    target: Id, weight: Annotated[float | None, typer.Argument(min=0, max=1000, metavar="[WEIGHT]", help="Factor on its score in policy `weighted`.")] = None,
    *, reset: Annotated[bool, typer.Option("--reset", help="The configured weight again.")] = False,
    wait: Wait = 10.0, force: Force = False, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False,
) -> None:  # fmt: skip
    """Weigh a target anew; it wins over the configured weight until it is reset. Acts in policy `weighted`; the configured 0 stays out of rotation."""
    if (weight is None) != reset:
        complain("give a weight, or --reset, not both")
        raise typer.Exit(USAGE)
    _tell(target, "set_weight", weight, wait, config, kafka, force=force, chosen=form(json=json, plain=plain))


def _tell(
    target: str, action: Action, weight: float | None, wait_s: float, config: Path | None, kafka: str | None, *, force: bool, chosen: Form
) -> None:  # fmt: skip
    from routecast.models.events import Control  # noqa: PLC0415 - slow to import
    from routecast.streams.clock import SystemClock  # noqa: PLC0415
    from routecast.streams.operators.control import tell  # noqa: PLC0415
    from routecast.streams.operators.published import service_of  # noqa: PLC0415

    loaded, published = look(config, kafka)
    if not force:
        _refuse_unknown(loaded, published, target)
    clock = SystemClock()
    said = Control(at_ms=round(clock.now_ms()), target=target, action=action, weight=weight)
    word = ask(loaded.kafka, tell(loaded, said, service_of(loaded, published, target), wait_s=wait_s, clock=clock), within_s=None)
    if chosen == "json":
        show_json(word)
    elif chosen == "plain":
        row = (target, action, word.service or "", str(word.offset), *heard(word), word.state or "", _number(word.weight))
        show_rows(("target", "action", "service", "offset", "snapshot", "took_ms", "state", "weight"), [row], chosen)
    else:
        show(_sentence(word, said))


def _sentence(word: Word, said: Control) -> str:
    """What became of a word, for people."""
    target, (at, took) = word.target, heard(word)
    wish = said.action if said.action in {"drain", "resume"} else "weigh as configured" if said.weight is None else f"weigh {_number(said.weight)}"
    if word.snapshot is None:
        return f"told to {wish}: {target}; not waited for a snapshot"
    if word.state is None:
        return f"told to {wish}: {target}; the leader took it after {took} ms, no snapshot holds this target"
    if said.action == "set_weight":
        return f"{target} weighs {_number(word.weight)} in snapshot {at} of service {word.service}, {took} ms after it was told to"
    shown = f"{target} is {word.state} in snapshot {at} of service {word.service}, {took} ms after it was told to {wish}"
    return f"{shown}; planned share {_ratio(word.share)}"


def heard(word: Word) -> tuple[str, str]:
    """The snapshot that followed a word, and after how many ms; empty where nobody waited."""
    at = "" if word.snapshot is None else f"{word.snapshot[0]}/{word.snapshot[1]}"
    return at, "" if word.took_ms is None else f"{word.took_ms:.0f}"


def look(config: Path | None, kafka: str | None) -> tuple[Config, Published]:
    """The configuration and what is published."""
    from routecast.streams.operators.published import newest  # noqa: PLC0415 - slow to import

    loaded = configured(config, kafka)
    return loaded, ask(loaded.kafka, newest(loaded))


def _refuse_unknown(config: Config, published: Published, target: str) -> None:
    from routecast.streams.operators.published import known_targets, unknown  # noqa: PLC0415 - slow to import

    known = known_targets(config, published)
    if target not in known:
        complain(unknown(target, known))
        raise typer.Exit(USAGE)


def warn_of_silence(config: Config, ages: Sequence[SnapshotAge]) -> None:
    """Tell on stderr when nobody publishes."""
    if not ages:
        complain("no snapshot was ever published: `routecast worker` starts a worker")
    for age in ages:
        if age.stale:
            complain(f"the snapshot of {age.service!r} is {age.age_s:.0f} s old, made every {config.intervals.snapshot_ms / 1000:g} s: no worker leads")


def _print(found: TargetFigures, chosen: Form) -> None:
    place = ", ".join(part for part in (found.provider, found.model, found.region) if part)
    of = f"snapshot {found.snapshot.term}/{found.snapshot.seq}, {found.snapshot.age_s:.1f} s old" if found.snapshot else "no snapshot"
    show(f"{found.id} ({place}) of service {found.service}: {found.state}; {of}\n")
    show_rows(
        ("figure", "value", "what it is"), [(name, _figure(found.figures[name]), what) for name, what in _MEANING.items() if name in found.figures], chosen
    )
    if found.details is not None:
        show(f"\n{_totals(found.details)}\n")
        show_rows(_HEADS, [(name, *_window(window)) for name, window in found.details.windows.items()], chosen)


def _totals(details: SubjectDetails) -> str:
    outcomes = details.outcomes_total.model_dump()
    counted = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in outcomes.items() if count)
    return f"Since the pipeline began: {details.started_total} started, {details.requests_total} ended ({counted or 'none'})."


def _window(w: WindowDetails) -> tuple[str, ...]:
    latency = w.latency
    return (
        str(w.requests), _number(w.requests_per_min), _ratio(w.success_ratio), _ratio(w.error_ratio), _ratio(w.timeout_ratio), _ratio(w.rate_limit_ratio),
        _number(latency.mean_ms), _number(latency.p50_ms), _number(latency.p95_ms), _number(latency.p99_ms), _number(w.ttft.p95_ms),
        _number(w.tokens_per_min), _number(w.cost_usd), _number(w.quality.mean),
    )  # fmt: skip


def _figure(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {ms:+.0f} ms" for name, ms in value.items()) or "-"
    return value if isinstance(value, str) else _number(value) if isinstance(value, int | float) else str(value)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
