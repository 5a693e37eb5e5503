"""`routecast replay --policy`: what several policies would have chosen by the recorded snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from routecast.cli.names import require
from routecast.cli.progress import Progress
from routecast.cli.render import complain, form, show, show_json, show_rows


def compare(file: Path, policies: Sequence[str], service: str | None, *, json: bool, plain: bool) -> None:
    """Ask them all, and print the table."""
    from routecast.analytics.balance import POLICIES  # noqa: PLC0415 - only where it is asked for
    from routecast.choices import compare_choices  # noqa: PLC0415 - pandas is slow to import

    require("policy", policies, POLICIES)
    with Progress("comparing", json=json) as progress:
        found = compare_choices(file, policies, service=service, tell=progress.tell)
    if json:
        show_json(found)
        return
    asked = [it for it in found.policies if not it.refused]
    names = ["logged", *(it.policy for it in asked)]
    rows = [("logged", f"{found.logged_cost_s:.3f}", "-", *("=" if name == "logged" else "" for name in names), "")]
    for it in asked:
        agreement = ["=" if name == it.policy else f"{it.agreement[name]:.1%}" for name in names]
        largest = max(it.shares.items(), key=lambda item: item[1])
        rows.append((it.policy, f"{it.cost_s:.3f}", f"{it.logged_propensity:.3f}", *agreement, f"{largest[0]} {largest[1]:.1%}"))
    if not plain:
        show(f"{found.decisions:,} decisions of service {found.service!r}, each by the snapshot that was read then; same target as\n")
    show_rows(("policy", "median cost s", "p of logged", *names, "largest share"), rows, form(json=False, plain=plain))
    if not plain and found.excluded:
        show("\nleft out: " + "; ".join(f"{n:,} {reason}" for reason, n in found.excluded.items()))
    for it in found.policies:
        if it.refused:
            complain(f"{it.policy}: {it.refused}")
