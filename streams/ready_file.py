"""A file that exists while a program is ready, for probes of orchestrators."""

from __future__ import annotations

import os
from pathlib import Path

from routecast.models.errors import ConfigError


def check_ready_file(file: Path | None) -> None:
    """Raise ConfigError where it cannot be written: better before anything begins than when everything is well for the first time."""
    if file is not None and (file.is_dir() or not os.access(file.parent, os.W_OK | os.X_OK)):
        raise ConfigError(f"--ready-file {str(file)!r} cannot be written: give a file in a folder that is there and may be written to")


def mark_ready(file: Path | None, *, ready: bool) -> None:
    """Make it, or remove it."""
    if file is not None and ready:
        file.touch()
    elif file is not None:
        file.unlink(missing_ok=True)
