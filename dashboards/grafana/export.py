"""Writes everything that Grafana needs into a folder that it can mount."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from routecast.dashboards.grafana import provisioning
from routecast.dashboards.grafana.shipped import dashboards, filled_in, text_of
from routecast.models.config import Config
from routecast.models.errors import ConfigError
from routecast.models.grafana import Exported

LISTED: Final = "routecast-files.txt"
"""Names what an earlier export has written, so that a file of somebody else is known as such."""


def export(folder: Path, config: Config, *, dashboards_in: str = provisioning.DASHBOARDS_IN, force: bool = False) -> Exported:
    """Write dashboards and provisioning; what an earlier export wrote and this one does not have is removed.

    Args:
        folder: made where it is missing.
        config: prefix of the buckets, objectives, thresholds.
        dashboards_in: where Grafana will find the folder `dashboards`.
        force: also overwrite files that no export has written.

    Raises ConfigError where such a file is in the way, or nothing can be written; then nothing is.
    """
    texts = {f"dashboards/{name}": text_of(filled_in(dashboard, config)) for name, dashboard in dashboards().items()}
    texts |= {f"provisioning/{name}": text for name, text in provisioning.files(config, dashboards_in).items()}
    try:
        own = _listed(folder)
        foreign = [name for name in texts if name not in own and (folder / name).exists()]
        if foreign and not force:
            raise ConfigError(f"{str(folder / foreign[0])!r} is there and was not written by an export: choose another folder, or use --force")
        _write(folder, texts, own)
    except OSError as error:
        raise ConfigError(f"{str(folder)!r} cannot be written to: {error.strerror}: choose another folder") from error
    return Exported(folder=str(folder), files=tuple(texts), variables=provisioning.VARIABLES)


def _listed(folder: Path) -> frozenset[str]:
    listed = folder / LISTED
    return frozenset(listed.read_text(encoding="utf-8").split("\n") if listed.is_file() else ())


def _write(folder: Path, texts: Mapping[str, str], own: frozenset[str]) -> None:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name in own - texts.keys() - {""}:
        gone = folder / name
        if gone.resolve().is_relative_to(folder.resolve()):
            gone.unlink(missing_ok=True)
    (folder / LISTED).write_text("\n".join(texts) + "\n", encoding="utf-8")
