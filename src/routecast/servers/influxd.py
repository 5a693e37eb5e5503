"""A real InfluxDB 2 on this machine, for tests and trials: no container, only Go, Cargo and a C compiler.

The server is built from source once (four minutes on two cores, at low priority) and kept in `$XDG_CACHE_HOME/routecast` (130 MB); it
answers a second after its start and takes 125 MB. It listens on the loopback interface only.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from routecast.models.errors import RoutecastError
from routecast.servers.kafka import free_port
from routecast.servers.local_process import LocalProcess

VERSION: Final = "2.7.12"
ORGANISATION: Final = "routecast"
_MODULE: Final = "github.com/influxdata/influxdb/v2/cmd/influxd"
_LINKER: Final = "github.com/influxdata/pkg-config"
_TAGS: Final = "sqlite_foreign_keys,sqlite_json"
_PACKAGES: Final = {"go": "golang-go", "cargo": "cargo", "cc": "gcc"}
"""Each program that the build needs, and the Debian package that has it."""
_START_S = 60.0
_TOLD = 800
"""Characters of a failure to show: the last ones name the cause."""


class InfluxUnavailable(RoutecastError):  # noqa: N818 - names the state
    """No InfluxDB can be started here; the text says what is missing."""


def missing_tools() -> list[str]:
    """Programs that a local server needs and this machine lacks; none where it has been built already."""
    return [] if _cached().is_file() else [tool for tool in _PACKAGES if shutil.which(tool) is None]


def built() -> bool:
    """Whether the server needs no building any more."""
    return _cached().is_file()


def build() -> Path:
    """The program, built where it is not there yet. It appears complete or not at all; who else wants it at the same time waits.

    Raises InfluxUnavailable.
    """
    program = _cached()
    if program.is_file():
        return program
    lacking = missing_tools()
    if lacking:
        packages = " ".join(_PACKAGES[tool] for tool in lacking)
        raise InfluxUnavailable(f"building InfluxDB {VERSION} needs {' and '.join(lacking)}: install {packages}, or give a running server")
    folder = program.parent.parent
    folder.mkdir(parents=True, exist_ok=True)
    with _turn(folder), tempfile.TemporaryDirectory(dir=folder) as scratch:
        if not program.is_file():
            made = _built_in(Path(scratch))
            program.parent.mkdir(exist_ok=True)
            made.rename(program)
    return program


@contextmanager
def _turn(folder: Path) -> Generator[None]:
    """While nobody else on this machine has it."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _cached() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "routecast" / f"influxdb-{VERSION}" / "influxd"


def _built_in(folder: Path) -> Path:
    linker, wrapper, program = (folder / name for name in ("pkg-config", "rustc-wrapper", "influxd"))
    wrapper.write_text('#!/bin/sh\nexec "$@" --cap-lints warn\n')  # its Rust part takes warnings of newer compilers for errors
    wrapper.chmod(0o755)
    environ = os.environ | {"PKG_CONFIG": str(linker), "RUSTC_WRAPPER": str(wrapper), "RUSTUP_TOOLCHAIN": "stable"}
    plain = {key: value for key, value in environ.items() if key != "PKG_CONFIG"}
    _run(["go", "mod", "init", "routecast-influxd"], folder, plain)
    _run(["go", "get", "-tool", f"{_MODULE}@v{VERSION}"], folder, plain)
    _run(["go", "get", "-tool", _LINKER], folder, plain)
    _run(["go", "build", "-o", str(linker), _LINKER], folder, plain)
    named = ["-ldflags", f"-X main.version=v{VERSION}"]
    _run(["nice", "-n", "10", "go", "build", "-tags", _TAGS, *named, "-o", str(program), _MODULE], folder, environ)
    return program


def _run(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=dict(environ), capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-_TOLD:]
        raise InfluxUnavailable(f"InfluxDB {VERSION} cannot be built, {' '.join(command[:5])} says: {said}")


class LocalInflux:
    """One server with one organisation and a token that may do everything.

    Args:
        folder: where it keeps its data and log; a restart finds everything again.
        options: further options of the server, such as `--storage-cache-max-memory-size=…`.

    `with` starts and stops it.
    """

    organisation: Final = ORGANISATION

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self._port = free_port()
        self._options = tuple(options)
        self._process = LocalProcess(folder / "influxd.log")
        self.token = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self._process.log

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid

    def start(self) -> Self:
        """Start, or start again with the data of the last time; returns when it answers. Raises InfluxUnavailable."""
        program = build()
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = {"bolt-path": "influxd.bolt", "sqlite-path": "influxd.sqlite", "engine-path": "engine"}
        places = [f"--{option}={self.folder / name}" for option, name in kept.items()]
        command = [str(program), *places, f"--http-bind-address=127.0.0.1:{self._port}", "--reporting-disabled", "--log-level=warn", *self._options]
        self._process.start(command)
        self._wait()
        self._set_up()
        return self

    def _wait(self) -> None:
        until_s = time.monotonic() + _START_S
        while self._process.running and time.monotonic() < until_s:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2):  # noqa: S310 - our own address
                    return
            except OSError:
                time.sleep(0.05)
        self.kill()
        raise InfluxUnavailable(f"InfluxDB did not start, see {str(self.log)!r}: {self.log.read_text(errors='replace').strip()[-_TOLD:]}")

    def _set_up(self) -> None:
        """Make user, organisation and token, unless an earlier start has."""
        with urllib.request.urlopen(f"{self.url}/api/v2/setup", timeout=10) as answer:  # noqa: S310 - our own address
            if not json.load(answer)["allowed"]:
                return
        wanted = {"username": "operator", "password": self.token, "org": self.organisation, "bucket": "default", "token": self.token}
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v2/setup", json.dumps(wanted).encode(), headers, method="POST")  # noqa: S310 - our own address
        try:
            urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - our own address
        except urllib.error.URLError as error:
            self.kill()
            raise InfluxUnavailable(f"InfluxDB cannot be set up: {error}") from error

    def stop(self) -> None:
        """Stop in good order; after 30 s the hard way."""
        self._process.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
