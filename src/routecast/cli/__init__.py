"""The command line. `main` is what the `routecast` script runs."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exit codes: 0 ok, 1 failure, 2 usage, 3 configuration, 4 unreachable dependency, 5 check failed."""
    try:
        from routecast.cli.app import run  # noqa: PLC0415 - its dependencies are an extra
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.exit(f"routecast: the command line needs {error.name!r}, which is not installed: pip install 'routecast[cli]'")
    sys.exit(run())
