"""`routecast route explain`: which target a request would go to, why, and what would change it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from routecast.cli.kafka import File, Json, Plain, Url
from routecast.cli.names import USAGE, require
from routecast.cli.render import complain, form, show, show_json, show_rows
from routecast.cli.route_sources import live, of_file, recorded

if TYPE_CHECKING:
    from routecast.cli.route_sources import Seen
    from routecast.models.decision import Explanation
    from routecast.models.requirements import Requirements

app = typer.Typer(no_args_is_help=True, help="Look into routing decisions.")


@app.callback()
def root() -> None:
    """Look into routing decisions."""


@app.command()
def explain(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="What `routecast record` wrote; without it, what runs now.")] = None,
    *,
    config: File = None,
    kafka: Url = None,
    at: Annotated[float | None, typer.Option(min=0, help="Of FILE: so many seconds after its beginning; its end by default.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no broker: what the configuration alone says.")] = False,
    snapshot: Annotated[Path | None, typer.Option(help="By a routing snapshot as JSON instead.")] = None,
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
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Explain a decision: the target, factors and score, why the others were not chosen, and what would change it.

    By the newest snapshot on the brokers of the configuration, with what is drained, open or limited now; of a recording, by the one published last.
    """
    if sum((file is not None, kafka is not None, offline, snapshot is not None, demo is not None)) > 1:
        complain("FILE, --kafka, --offline, --snapshot and --demo: give one of them")
        raise typer.Exit(USAGE)
    if at is not None and file is None:
        complain("--at: of a recording; for the demonstration, --demo SECONDS")
        raise typer.Exit(USAGE)
    asked = _requirements(
        max_response_time_ms=max_response_time_ms, quality_threshold=quality, reliability=reliability, preferred=tuple(preferred or ()),
        excluded=tuple(excluded or ()), region=region, urgency=urgency, max_cost_usd=max_cost_usd,
    )  # fmt: skip
    if demo is not None:
        from routecast.demo.comparison import explain_at  # noqa: PLC0415 - slow to import

        found = explain_at(seed, 420.0, demo, asked).decision
    else:
        if file is not None:
            seen = recorded(file, config, at, service)
        elif snapshot is not None:
            seen = of_file(snapshot, config, service)
        else:
            seen = live(config, kafka, service, offline=offline)
        found = _decide(seen, asked, tuple(tried or ()), seed)
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


def _decide(seen: Seen, asked: Requirements, tried: tuple[str, ...], seed: int) -> Explanation:
    from routecast.streams.emitter import Emitter  # noqa: PLC0415 - slow to import
    from routecast.streams.router import Router  # noqa: PLC0415

    targets = seen.config.targets_of(seen.service)
    ids = [target.id for target in targets]
    require("target", tried, ids)
    require("target or provider", (*asked.preferred, *asked.excluded), [*ids, *dict.fromkeys(target.provider for target in targets)])
    luck = random.Random(seed)
    router = Router(seen.config, seen.service, Emitter(seen.clock, luck), seen.clock, luck)
    if seen.snapshot is not None:
        router.apply(seen.snapshot)
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
