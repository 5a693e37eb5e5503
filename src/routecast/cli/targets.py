"""`routecast targets`: what is published of the targets, and taking them out of service and back."""

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
    from routecast.models.targets import SnapshotAge, TargetFigures
    from routecast.streams.published import Published

USAGE = 2

app = typer.Typer(no_args_is_help=True, help="Look at targets; take them out of service and back.")
Id = Annotated[str, typer.Argument(metavar="ID", help="The target.")]
Wait = Annotated[float, typer.Option(min=0, max=600, help="Longest wait for a snapshot that shows it, seconds; 0 does not wait.")]
Force = Annotated[bool, typer.Option("--force", help="Even where nobody knows this target.")]

_MEANING = {
    "state": "ok, degraded, open, recovering, rate_limited, drained or unknown", "ramp": "how much of its share a recovering target takes",
    "time_s": "time of an average request of the service", "service_s": "mean time of a request that meets no queue",
    "capacity": "concurrent requests it serves without making them wait", "share": "planned share of the service's traffic",
    "in_flight": "requests open when the snapshot was built", "in_flight_mean": "requests in flight, averaged over time",
    "oldest_open_ms": "age of the oldest open request", "cost_s": "expected time to a success", "success": "lower bound of the success ratio",
    "fail_s": "mean time of a failure", "quality": "mean of the feedback, or as configured", "quality_n": "feedback behind it",
    "usd": "expected price of an average request", "headroom": "free part of its rate limits", "weight": "factor of the policy `weighted`",
    "score": "response time, reliability and quality together", "load": "factor current load", "history": "score over the long horizon",
    "real_time": "score over the last minute", "n": "requests behind the estimates, decayed",
}  # fmt: skip
_HEADS = ("window", "requests", "per min", "success", "errors", "timeouts", "429", "mean ms", "p50", "p95", "p99", "ttft p95", "tok/min", "usd", "quality")


@app.command("list")
def list_targets(*, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False) -> None:
    """List the targets of all services with state, share, requests in flight, success, cost, score and weight."""
    from routecast.streams.clock import SystemClock  # noqa: PLC0415 - slow to import
    from routecast.streams.published import lines  # noqa: PLC0415

    loaded, published = _published(config, kafka)
    found = lines(loaded, published, SystemClock().now_ms())
    _warn_of_silence(loaded, found.snapshots)
    if json:
        show_json(found)
        return
    rows = [
        (t.id, t.service, t.state, _ratio(t.share), _number(t.in_flight), _ratio(t.success), _number(t.cost_s), _number(t.score), _number(t.weight))
        for t in found.targets
    ]
    show_rows(("target", "service", "state", "share", "in flight", "success", "cost s", "score", "weight"), rows, form(json=json, plain=plain))


@app.command("show")
def show_target(target: Id, *, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False) -> None:
    """Show every published figure of a target, and its windows."""
    from routecast.streams.clock import SystemClock  # noqa: PLC0415 - slow to import
    from routecast.streams.published import figures  # noqa: PLC0415

    loaded, published = _published(config, kafka)
    _refuse_unknown(loaded, published, target)
    found = figures(loaded, published, target, SystemClock().now_ms())
    _warn_of_silence(loaded, [found.snapshot] if found.snapshot else ())
    if json:
        show_json(found)
    else:
        _print(found, form(json=json, plain=plain))


@app.command()
def drain(
    target: Id, *, wait: Wait = 10.0, force: Force = False, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False
) -> None:  # fmt: skip
    """Take a target out of service: routers send it nothing new, what is under way ends in its own time."""
    _tell(target, "drain", wait, config, kafka, force=force, chosen=form(json=json, plain=plain))


@app.command()
def resume(
    target: Id, *, wait: Wait = 10.0, force: Force = False, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False
) -> None:  # fmt: skip
    """Put a drained target back into service."""
    _tell(target, "resume", wait, config, kafka, force=force, chosen=form(json=json, plain=plain))


def _tell(target: str, action: Literal["drain", "resume"], wait_s: float, config: Path | None, kafka: str | None, *, force: bool, chosen: Form) -> None:
    from routecast.streams.clock import SystemClock  # noqa: PLC0415 - slow to import
    from routecast.streams.control import tell  # noqa: PLC0415
    from routecast.streams.published import service_of  # noqa: PLC0415

    loaded, published = _published(config, kafka)
    if not force:
        _refuse_unknown(loaded, published, target)
    service = service_of(loaded, published, target)
    word = ask(loaded.kafka, tell(loaded, target, action, service, wait_s=wait_s, clock=SystemClock()), within_s=None)
    if chosen == "json":
        show_json(word)
        return
    at = "" if word.snapshot is None else f"{word.snapshot[0]}/{word.snapshot[1]}"
    took = "" if word.took_ms is None else f"{word.took_ms:.0f}"
    if chosen == "plain":
        show_rows(
            ("target", "action", "service", "offset", "snapshot", "took_ms", "state"),
            [(target, action, service or "", str(word.offset), at, took, word.state or "")],
            chosen,
        )
    elif word.snapshot is None:
        show(f"told to {action}: {target}; not waited for a snapshot")
    elif word.state is None:
        show(f"told to {action}: {target}; the leader took it after {took} ms, no snapshot holds this target")
    else:
        show(f"{target} is {word.state} in snapshot {at} of service {service}, {took} ms after it was told to {action}; planned share {_ratio(word.share)}")


def _published(config: Path | None, kafka: str | None) -> tuple[Config, Published]:
    from routecast.streams.published import newest  # noqa: PLC0415 - slow to import

    loaded = configured(config, kafka)
    return loaded, ask(loaded.kafka, newest(loaded))


def _refuse_unknown(config: Config, published: Published, target: str) -> None:
    from routecast.streams.published import known_targets, unknown  # noqa: PLC0415 - slow to import

    known = known_targets(config, published)
    if target not in known:
        complain(unknown(target, known))
        raise typer.Exit(USAGE)


def _warn_of_silence(config: Config, ages: Sequence[SnapshotAge]) -> None:
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
    return value if isinstance(value, str) else _number(value) if isinstance(value, int | float) else str(value)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
