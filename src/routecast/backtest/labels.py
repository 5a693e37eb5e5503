"""Reading a file of labelled incidents: TOML or JSON, by its name."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from routecast.models.errors import ConfigError


def read_table(path: Path) -> object:
    """What the file holds. Raises ConfigError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"{str(path)!r} does not exist: give the file with the labelled incidents") from None
    except (OSError, ValueError) as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise ConfigError(f"{str(path)!r} is not {kind}: {error}") from error
