"""`routecast capacity`: how much load a service can take, from a recording or from what runs now."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routecast.cli.kafka import File, Json, Plain, Url, ask, configured
from routecast.cli.progress import Progress
from routecast.cli.render import complain, form, show, show_json, show_rows

if TYPE_CHECKING:
    from routecast.analytics.capacity.attempts import AttemptLog, Attempts
    from routecast.models.capacity import Capacity, TargetCapacity
    from routecast.models.config import Config

_MINUTE_MS = 60_000.0


def capacity(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="What `routecast record` wrote; without it, the newest events on Kafka.")] = None,
    *,
    service: Annotated[str | None, typer.Option(help="Whose capacity; needed where there are several services.")] = None,
    wait_p95_ms: Annotated[float, typer.Option(min=1, help="Time that 95 % of the requests may wait at most, beyond what their answer takes alone.")] = 500.0,
    minutes: Annotated[float, typer.Option(min=1, max=1440, help="Reach back so far from the newest event.")] = 30.0,
    requests: Annotated[int, typer.Option(min=1000, max=200_000, help="Newest arrivals to play; time grows with them.")] = 12_000,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    config: File = None,
    kafka: Url = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Fit every target to its recorded requests, play the recorded arrivals faster and faster, and say what load keeps the limit.

    A recording brings the configuration it was made under; --config takes another one. With too little evidence: exit code 5.
    """
    from routecast.models.errors import CheckFailed  # noqa: PLC0415 - pydantic is slow to import

    if file is not None and kafka is not None:
        raise typer.BadParameter("FILE and --kafka: give one of them")
    attempts, known, name, at_ms = (
        _recorded(file, config, service, minutes, json=json) if file is not None else _live(config, kafka, service, minutes, json=json)
    )
    estimate = _estimated(attempts, known, name, at_ms, wait_p95_ms, seed, requests, json=json)
    if json:
        show_json(estimate)
    elif estimate.sustainable_per_min is not None:
        _print(estimate, plain=plain)
    if estimate.sustainable_per_min is None:
        raise CheckFailed(f"the capacity of {name!r} cannot be told: {estimate.reason}")


def _recorded(file: Path, config: Path | None, service: str | None, minutes: float, *, json: bool) -> tuple[Attempts, Config | None, str, float]:
    from routecast.analytics.capacity.attempts import AttemptLog  # noqa: PLC0415 - numpy is slow to import
    from routecast.streams.configuration import load_config  # noqa: PLC0415
    from routecast.streams.recordings.attempts import read_recording, recorded_config  # noqa: PLC0415
    from routecast.streams.recordings.recording import Recording  # noqa: PLC0415

    with Recording(file) as recording, Progress("reading", recording.manifest.events, json=json) as progress:
        known = load_config(config, os.environ) if config is not None else recorded_config(recording)
        log = AttemptLog(_services(known))
        read_recording(recording, log, progress.tell)
        return *_chosen(log, known, service, recording.manifest.last_ms, minutes), recording.manifest.last_ms


def _live(config: Path | None, kafka: str | None, service: str | None, minutes: float, *, json: bool) -> tuple[Attempts, Config | None, str, float]:
    from routecast.analytics.capacity.attempts import AttemptLog  # noqa: PLC0415 - numpy is slow to import
    from routecast.streams.recordings.attempts import read_log  # noqa: PLC0415

    known, now_ms = configured(config, kafka), time.time() * 1000.0
    log = AttemptLog(_services(known))
    with Progress("reading", json=json) as progress:
        ask(known.kafka, read_log(known.kafka, log, now_ms - minutes * _MINUTE_MS, progress.tell), within_s=None)
    return *_chosen(log, known, service, now_ms, minutes), now_ms


def _services(known: Config | None) -> dict[str, str]:
    return {} if known is None else {target.id: target.service for target in known.target}


def _chosen(log: AttemptLog, known: Config | None, service: str | None, end_ms: float, minutes: float) -> tuple[Attempts, Config | None, str]:
    from routecast.streams.recordings.attempts import service_of  # noqa: PLC0415 - slow to import

    name = service_of(service, known, log.services)
    return log.attempts(name, end_ms - minutes * _MINUTE_MS), known, name


def _estimated(attempts: Attempts, known: Config | None, name: str, at_ms: float, limit_ms: float, seed: int, requests: int, *, json: bool) -> Capacity:
    from routecast.analytics.capacity.capacity import capacity_of  # noqa: PLC0415 - numpy is slow to import

    configs = {} if known is None else {target.id: target for target in known.targets_of(name)}
    with Progress("estimating", json=json) as progress:
        return capacity_of(attempts, service=name, at_ms=at_ms, limit_ms=limit_ms, configs=configs, seed=seed, requests=requests, tell=progress.tell_share)


def _print(found: Capacity, *, plain: bool) -> None:
    if plain:
        _print_figures(found)
    else:
        wait = "for ever" if found.wait_p95_ms is None else f"{found.wait_p95_ms:,.0f} ms"
        slots = f", {found.scale.slots:+d} concurrent requests" if found.scale.slots else ""
        show(f"{found.service}: {found.now_per_min:,.0f} requests/min arrive, 95 % of them wait at most {wait};")
        show(f"at most {found.limit_ms:,.0f} ms up to {found.sustainable_per_min or 0:,.0f} requests/min ({_interval(found)})")
        show(f"Erlang-C, which knows no bursts, would say {found.erlang_c_per_min or 0:,.0f}")
        show(f"scale: {found.scale.action}{slots} – {found.scale.reason}\n")
    heads = ("target", "concurrent", "answer alone ms", "interval", "answers", "requests/min then", "limit/min", "daily limit in h")
    show_rows(heads, [_row(target) for target in found.targets], form(json=False, plain=plain))
    if found.reason:
        complain(found.reason)


def _print_figures(found: Capacity) -> None:
    figures = (found.now_per_min, found.wait_p95_ms, found.limit_ms, found.sustainable_per_min, found.low_per_min, found.high_per_min, found.erlang_c_per_min)
    heads = ("service", "now/min", "wait p95 ms", "limit ms", "sustainable/min", "low", "high", "Erlang-C", "scale", "slots")
    show_rows(heads, [(found.service, *map(_figure, figures), found.scale.action, str(found.scale.slots))], "plain")


def _row(target: TargetCapacity) -> tuple[str, ...]:
    interval = "-" if target.service_ms_low is None else f"{_figure(target.service_ms_low)} – {_figure(target.service_ms_high)}"
    concurrency = "-" if target.concurrency is None else f"{target.concurrency:.1f}"
    hours = "-" if target.limit_in_hours is None else f"{target.limit_in_hours:.1f}"
    figures = (_figure(target.sustainable_per_min), _figure(target.limit_per_min))
    return (target.target, concurrency, _figure(target.service_ms), interval, str(target.n), *figures, hours)


def _interval(found: Capacity) -> str:
    low = f"{found.low_per_min or 0:,.0f}"
    return f"at least {low}" if found.high_per_min is None else f"{low} to {found.high_per_min:,.0f}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
