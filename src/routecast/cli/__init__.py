"""The command line. `main` is what the `routecast` script runs."""

from __future__ import annotations

import os
import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; exit codes: 0 ok, 1 failure, 2 usage, 3 configuration, 4 unreachable dependency, 5 check failed, 130 Ctrl-C."""
    if sys.stdout is None:  # closed by whoever started us: what is opened next must not take its place
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - it lasts as long as the process
    try:
        from routecast.cli.app import run  # noqa: PLC0415 - its dependencies are an extra
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.exit(f"routecast: the command line needs {error.name!r}, which is not installed: pip install 'routecast[cli]'")
    except KeyboardInterrupt:  # much is imported before anything runs
        sys.exit(_INTERRUPTED)
    sys.exit(run())
