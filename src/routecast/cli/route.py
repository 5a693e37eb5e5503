"""`routecast route explain`: which target a request would go to, why, and what would change it."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from routecast.cli.render import form, show, show_json, show_rows

if TYPE_CHECKING:
    from routecast.models.decision import Explanation
    from routecast.models.requirements import Requirements

app = typer.Typer(no_args_is_help=True, help="Look into routing decisions.")


@app.callback()
def root() -> None:
    """Look into routing decisions."""


@app.command()
def explain(
    *,
    config: Annotated[Path | None, typer.Option("--config", help="The configuration; ./routecast.toml by default.")] = None,
    snapshot: Annotated[Path | None, typer.Option(help="A routing snapshot as JSON; without one the configuration alone counts.")] = None,
    demo: Annotated[float | None, typer.Option(min=5, max=420, help="Explain a decision of the demonstration at this virtual second instead.")] = None,
    service: Annotated[str | None, typer.Option(help="The service; may be left out where there is only one.")] = None,
    max_response_time_ms: Annotated[float | None, typer.Option(help="Whole answer within this time, ms.")] = None,
    quality: Annotated[float | None, typer.Option(help="Least quality, 0..1.")] = None,
    reliability: Annotated[float | None, typer.Option(help="Least success ratio, 0..1.")] = None,
    preferred: Annotated[list[str] | None, typer.Option(help="Target or provider to prefer, repeatable.")] = None,
    excluded: Annotated[list[str] | None, typer.Option(help="Target or provider never to use, repeatable.")] = None,
    region: Annotated[str | None, typer.Option(help="Only targets of this region.")] = None,
    urgency: Annotated[Literal["low", "medium", "high"], typer.Option(help="Urgency.")] = "medium",
    max_cost_usd: Annotated[float | None, typer.Option(help="Most an average answer may cost, USD.")] = None,
    tried: Annotated[list[str] | None, typer.Option(help="Target that has failed already, repeatable.")] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Print text with tabs.")] = False,
) -> None:
    """Explain a decision: the target, factors and score, why the others were not chosen, and what would change it."""
    asked = _requirements(
        max_response_time_ms=max_response_time_ms, quality_threshold=quality, reliability=reliability, preferred=tuple(preferred or ()),
        excluded=tuple(excluded or ()), region=region, urgency=urgency, max_cost_usd=max_cost_usd,
    )  # fmt: skip
    if demo is not None:
        from routecast.demo.comparison import explain_at  # noqa: PLC0415 - slow to import

        found = explain_at(seed, 420.0, demo, asked).decision
    else:
        found = _decide(config, snapshot, service, asked, tuple(tried or ()), seed)
    if json:
        show_json(found)
    else:
        _print(found, plain=plain)


def _requirements(**asked: object) -> Requirements:
    from pydantic import ValidationError  # noqa: PLC0415 - with the models

    from routecast.models.requirements import Requirements  # noqa: PLC0415 - slow to import

    try:
        return Requirements.model_validate(asked)
    except ValidationError as error:
        first = error.errors()[0]
        raise typer.BadParameter(f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from None


def _decide(config: Path | None, snapshot: Path | None, service: str | None, asked: Requirements, tried: tuple[str, ...], seed: int) -> Explanation:
    from routecast.models.errors import ConfigError  # noqa: PLC0415 - slow to import
    from routecast.models.snapshot import decode_snapshot  # noqa: PLC0415
    from routecast.streams.clock import FixedClock, SystemClock  # noqa: PLC0415
    from routecast.streams.configuration import load_config  # noqa: PLC0415
    from routecast.streams.emitter import Emitter  # noqa: PLC0415
    from routecast.streams.router import Router  # noqa: PLC0415

    loaded = load_config(config, os.environ)
    if snapshot is not None and not snapshot.exists():
        raise ConfigError(f"{str(snapshot)!r} does not exist: give a file with one routing snapshot")
    taken = decode_snapshot(snapshot.read_bytes()) if snapshot is not None else None
    services = sorted(loaded.services)
    name = service or (taken.service if taken else services[0] if len(services) == 1 else "")
    if not name:
        raise ConfigError(f"which service? The configuration has {', '.join(services)}: give --service")
    clock = FixedClock(taken.at_ms) if taken else SystemClock()
    luck = random.Random(seed)
    router = Router(loaded, name, Emitter(clock, luck), clock, luck)
    if taken is not None:
        router.apply(taken)
    return router.choose(asked, tried=tried).explain()


def _print(it: Explanation, *, plain: bool) -> None:
    chosen = form(json=False, plain=plain)
    show(f"{it.target} ({it.provider}, {it.model}{', ' + it.region if it.region else ''}) for service {it.service}: {it.reason}.\n")
    factors = it.factors
    rows = [
        ("score", f"{it.score:.3f}", "0.4 response time + 0.3 reliability + 0.3 quality, or as configured"),
        ("response time", f"{it.response_time_ms:.0f} ms", "of an average request, expected wait included"),
        ("reliability", f"{it.reliability:.1%}", "lower bound of the success ratio"),
        ("quality", "unknown" if it.quality is None else f"{it.quality:.2f}", "mean of the feedback"),
        ("current load", f"{factors.current_load:.2f}", it.load_impact),
        ("history", f"{factors.history:.2f}", "score over the long horizon"),
        ("real time", f"{factors.real_time:.2f}", "score over the last minute"),
        ("requirements", f"{factors.requirements:.2f}", "; ".join(it.unmet) or "met"),
        ("propensity", f"{it.propensity:.4f}", f"policy {it.policy}, snapshot {it.snapshot[0]}/{it.snapshot[1]}"),
    ]
    show_rows(("figure", "value", "what it is"), rows, chosen)
    if it.alternatives:
        show("")
        others = [
            (a.target, f"{a.score:.3f}", "" if a.cost_s is None else f"{a.cost_s:.2f}", f"{a.probability:.4f}", a.reason, _change(a.cost_s, it))
            for a in it.alternatives
        ]
        show_rows(("other target", "score", "cost s", "probability", "why not", "what would change it"), others, chosen)


def _change(cost_s: float | None, it: Explanation) -> str:
    if cost_s is None:
        return "what it was left out for"
    costs = [a.cost_s for a in it.alternatives if a.cost_s is not None]
    cheapest = min([it.cost_s, *costs])
    return "it is the cheapest: another draw" if cost_s <= cheapest else f"{1 - cheapest / cost_s:.0%} less cost makes it the cheapest"
