"""Checks that need no server: what is installed here, the configuration, the file of the webhook."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from routecast.models.config import Config
from routecast.models.errors import ConfigError
from routecast.streams.brokers.access import Role
from routecast.streams.configuration import Loaded, load
from routecast.streams.doctor.examination import Finding, Skipped, failure
from routecast.streams.notifications.webhook import webhook_url

_NAME: Final = re.compile(r"^([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*([^;]*)")
_EXTRA: Final = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_OLDEST: Final = (3, 11)
_NEEDED: Final[Mapping[str, str]] = {"worker": "streams"}
"""By role, the extra without which it does not run."""
_CORRECT: Final = "routecast config check  # once it is written so; docs/configuration.md has every key"
_TELLING: Final = ("aiokafka", "faust-streaming", "influxdb-client", "numpy", "pydantic")


class Installed(NamedTuple):
    """What is installed here: requirements of this package, and the version of any distribution, None where it is missing."""

    requires: Sequence[str]
    version: Callable[[str], str | None]


def installed() -> Installed:
    """What this interpreter has."""
    return Installed(metadata.requires("routecast") or (), _version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def packages(role: Role | None, here: Installed) -> list[Finding]:
    """Python, this package, and for each extra what of it is missing or has a version that is not the pinned one."""
    if sys.version_info < _OLDEST:
        return [Finding("failed", f"Python {platform.python_version()}", "use Python 3.11 or newer")]
    versions = ", ".join(f"{name} {version}" for name in _TELLING if (version := here.version(name)))
    found = [Finding("ok", f"Python {platform.python_version()}, routecast {here.version('routecast')}, {versions}")]
    for extra, requirements in _by_extra(here.requires).items():
        lacking = [reason for name, wanted in requirements if (reason := _lacks(name, wanted, here))]
        needed = role is not None and _NEEDED.get(role) == extra
        if lacking and (needed or role is None):
            what = f"the extra {extra!r} is not complete: {', '.join(lacking)}"
            found.append(Finding("failed" if needed else "warning", what, f"pip install 'routecast[{extra}]'"))
    return found


def _by_extra(requires: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Name and wanted version of the requirements of each extra, those that only name other extras left out."""
    found: dict[str, list[tuple[str, str]]] = {}
    for requirement in requires:
        named, extra = _NAME.match(requirement), _EXTRA.search(requirement)
        if named and extra and named[1] != "routecast":
            found.setdefault(extra[1], []).append((named[1], named[2].strip()))
    return found


def _lacks(name: str, wanted: str, here: Installed) -> str:
    version = here.version(name)
    if version is None:
        return f"{name} is missing"
    return f"{name} is {version}, not {wanted[2:]}" if wanted.startswith("==") and version != wanted[2:] else ""


class Configured:
    """The configuration, for the check that reads it and for those that need it.

    Args:
        file: what was asked for; None: ./routecast.toml.
        environ: variables on top.
        addressed: puts brokers of the command line into it.
    """

    def __init__(self, file: Path | None, environ: Mapping[str, str], addressed: Callable[[Config], Config]) -> None:
        self._file = file
        self._environ = environ
        self._addressed = addressed
        self._config: Config | None = None

    @property
    def config(self) -> Config:
        """What was read; only for checks that need this one."""
        if self._config is None:
            raise Skipped("because the configuration was not read")
        return self._config

    async def check(self) -> list[Finding]:
        """Read it; a finding for each error."""
        try:
            loaded = load(self._file, self._environ)
        except ConfigError as error:
            found = [Finding("failed", line, cause="configuration") for line in str(error).splitlines()]
            return [*found[:-1], found[-1]._replace(fix=_CORRECT)]
        self._config = self._addressed(loaded.config)
        return [Finding("ok", said(loaded))]


def said(loaded: Loaded) -> str:
    """What a configuration that is right holds, in words."""
    services, targets = sorted(loaded.config.services), len(loaded.config.target)
    place = f"{str(loaded.file)!r}" if loaded.file else "the environment"
    counts = f"{targets} target{'s' * (targets != 1)} in {len(services)} service{'s' * (len(services) != 1)}"
    return f"{counts} ({', '.join(services)}) in {place}, version {loaded.config.version}"


async def webhook(config: Config) -> list[Finding]:
    """Whether workers can read the address that is told of alerts. Nothing is posted: `routecast alerts test` does."""
    if config.alerts.webhook_file is None:
        raise Skipped("nobody is told of alerts: alerts.webhook_file is not set")
    try:
        webhook_url(config.alerts)
    except ConfigError as error:
        return [failure(error)]
    return [Finding("ok", f"the address in {config.alerts.webhook_file!r} can be read; `routecast alerts test` posts to it")]
