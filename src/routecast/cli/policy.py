"""`routecast policy`: which balancing policy the services follow, and switching it while everything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from routecast.cli.kafka import File, Json, Plain, Url, ask
from routecast.cli.names import missing, require
from routecast.cli.render import Form, complain, form, show, show_json, show_rows
from routecast.cli.targets import USAGE, Wait, heard, look, warn_of_silence

if TYPE_CHECKING:
    from pathlib import Path

    from routecast.models.config import Policy
    from routecast.models.targets import PolicyLine, Word

app = typer.Typer(no_args_is_help=True, help="Look at the balancing policies of the services and switch them.")
Service = Annotated[str | None, typer.Option("--service", help="The service; all of them by default.")]


@app.command("show")
def show_policies(*, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False) -> None:
    """Show the policy of every service, whether an operator set it or the configuration, and what `auto` stands for, with the evidence."""
    from routecast.streams.clock import SystemClock  # noqa: PLC0415 - slow to import
    from routecast.streams.operators.published import policies  # noqa: PLC0415

    loaded, published = look(config, kafka)
    found = policies(loaded, published, SystemClock().now_ms())
    warn_of_silence(loaded, found.snapshots)
    if json:
        show_json(found)
    else:
        rows = [(line.service, _followed(line), line.set_by, reason(line)) for line in found.services]
        show_rows(("service", "policy", "set by", "why"), rows, form(json=json, plain=plain))


@app.command("set")
def set_policy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="performance, weighted, least_connections, round_robin, greedy, random, learned or auto.")],
    *, service: Service = None, wait: Wait = 10.0, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False,
) -> None:  # fmt: skip
    """Have routers follow a policy from the next snapshot on, whatever they are configured for, until it is reset.

    `auto` is `performance` until the log says that `weighted` is better, or worse again; `routecast policy show` tells why. A router that was
    given its policy by its program keeps that.
    """
    from typing import get_args  # noqa: PLC0415 - with the policies

    from routecast.models.config import Policy  # noqa: PLC0415 - slow to import

    policy = next((known for known in get_args(Policy) if known == name), None)
    if policy is None:
        complain(missing("policy", name, get_args(Policy)))
        raise typer.Exit(USAGE)
    _tell(policy, service, wait, config, kafka, chosen=form(json=json, plain=plain))


@app.command()
def reset(*, service: Service = None, wait: Wait = 10.0, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False) -> None:
    """Have routers follow their configured policy again."""
    _tell(None, service, wait, config, kafka, chosen=form(json=json, plain=plain))


def _tell(policy: Policy | None, service: str | None, wait_s: float, config: Path | None, kafka: str | None, *, chosen: Form) -> None:
    from routecast.models.events import Control  # noqa: PLC0415 - slow to import
    from routecast.streams.clock import SystemClock  # noqa: PLC0415
    from routecast.streams.operators.control import tell  # noqa: PLC0415

    loaded, _ = look(config, kafka)
    require("service", () if service is None else (service,), sorted(loaded.services))
    clock = SystemClock()
    said = Control(at_ms=round(clock.now_ms()), action="set_policy", service=service or "", policy=policy)
    word = ask(loaded.kafka, tell(loaded, said, service, wait_s=wait_s, clock=clock), within_s=None)
    if chosen == "json":
        show_json(word)
    elif chosen == "plain":
        row = (service or "", policy or "", str(word.offset), *heard(word))
        show_rows(("service", "policy", "offset", "snapshot", "took_ms"), [row], chosen)
    else:
        show(_sentence(word, policy))


def _followed(line: PolicyLine) -> str:
    return line.policy if line.follows == line.policy else f"{line.policy}: {line.follows}"


def reason(line: PolicyLine) -> str:
    """Why it is followed, for people; empty: somebody wants it so."""
    if line.policy == "auto" and not line.why:
        return "no evidence looked at yet: a leader does every `intervals.election_ms`, once decisions enough are logged"
    return line.why


def _sentence(word: Word, policy: str | None) -> str:
    """What became of a word, for people."""
    at, took = heard(word)
    who = "every service follows" if word.service is None else f"service {word.service} follows"
    what = policy or "the configured policy"
    return f"told: {who} {what}; not waited for a snapshot" if not at else f"{who} {what} from snapshot {at} on, {took} ms after it was told to"
