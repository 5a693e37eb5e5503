"""`routecast access`: what each kind of program may do on the brokers, and the commands that allow it."""

from __future__ import annotations

from typing import Annotated

import typer

from routecast.cli.kafka import File, Json, Plain, Url, configured
from routecast.cli.render import complain, form, show_json, show_rows

USAGE = 2


def access(
    *,
    role: Annotated[list[str] | None, typer.Option(help="emitter, router, worker, sink or operator; repeatable. All of them by default.")] = None,
    user: Annotated[str | None, typer.Option(help="Print the commands that allow it to this user: login name, or subject of the certificate.")] = None,
    config: File = None,
    kafka: Url = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Show what each kind of program needs on brokers with access control; with --user, as commands for their administrator."""
    from routecast.streams.brokers.access import ROLES, rules  # noqa: PLC0415 - pydantic is slow to import

    unknown = sorted(set(role or ()) - set(ROLES))
    if unknown:
        complain(f"no role {', '.join(unknown)}; there are {', '.join(ROLES)}")
        raise typer.Exit(USAGE)
    found = rules(configured(config, kafka).kafka, [known for known in ROLES if not role or known in role], user or "NAME")
    if json:
        show_json(found)
    elif user:
        print(*(rule.command for rule in found.rules), sep="\n")
    else:
        rows = [(rule.role, ", ".join(rule.operations), f"{rule.resource} {', '.join(rule.names)}") for rule in found.rules]
        show_rows(("role", "may", "on"), rows, form(json=json, plain=plain))
