"""The check of dashboards and alert rules in a folder that was exported for Grafana."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from routecast.dashboards.grafana.linting import lint, texts_in
from routecast.streams.doctor.examination import Finding, in_thread

_TOLD: Final = 5


async def grafana(folder: Path) -> list[Finding]:
    """Whether everything in it is as it must be. Raises ConfigError for a folder that holds nothing of ours."""
    found = await in_thread(lambda: lint(texts_in(folder)))
    anew = f"routecast grafana export {shlex.quote(str(folder))}"
    wrong = [Finding("failed", f"{flaw.file}, {flaw.where}: {flaw.what}", f"{anew}  # or: {flaw.mend}") for flaw in found.flaws]
    return wrong[:_TOLD] or [Finding("ok", f"{found.files} files with {found.queries} queries in {str(folder)!r} are as they must be")]
