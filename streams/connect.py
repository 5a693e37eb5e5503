"""Where a URL leads: `memory://[name]` is an embedded pipeline in this process; the same name is the same log."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from routecast.models.config import Config
from routecast.models.errors import ConfigError
from routecast.streams.clock import SystemClock
from routecast.streams.configuration import load_config
from routecast.streams.embedded import Embedded
from routecast.streams.emitter import Emitter
from routecast.streams.fork import renew_after_fork
from routecast.streams.router import Router

FIRST_SNAPSHOT_S = 5.0
"""Longest wait for the first snapshot; without it a router starts from its configuration."""
CLOSE_S = 5.0


class _Shared:
    """Embedded pipelines of this process by name, each for as long as somebody uses it."""

    def __init__(self) -> None:
        self._begin()
        renew_after_fork(self, _Shared._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, tuple[Embedded, int]] = {}

    def join(self, url: str, config: Config) -> Embedded:
        with self._lock:
            embedded, users = self._running.get(url) or (Embedded(config, SystemClock()), 0)
            if embedded.config != config:
                raise ConfigError(f"{url!r} already runs in this process with another configuration: use one configuration, or another name behind memory://")
            self._running[url] = (embedded, users + 1)
            return embedded

    def leave(self, url: str, embedded: Embedded, timeout_s: float) -> bool:
        with self._lock:
            running, users = self._running.get(url, (None, 0))
            if running is not embedded:
                return False
            if users > 1:
                self._running[url] = (embedded, users - 1)
                return True
            del self._running[url]
        return embedded.close(timeout_s)


_shared = _Shared()


class Connection:
    """A router on a log; `async with` or `with` gives the router and takes it down again."""

    def __init__(self, url: str, config: Config, service: str, policy: str | None, rng: random.Random) -> None:
        self._url = _embedded_url(url)
        self._config = config
        self._service = service
        self._policy = policy
        self._rng = rng
        self._embedded: Embedded | None = None
        self._router: Router | None = None

    def _open(self) -> Router:
        self._embedded = _shared.join(self._url, self._config)
        try:
            self._router = self._embedded.router(self._service, self._rng, self._policy)
        except BaseException:
            _shared.leave(self._url, self._embedded, CLOSE_S)
            raise
        return self._router

    def _close(self) -> None:
        embedded, self._embedded = self._embedded, None
        if embedded is not None and self._router is not None:
            embedded.release(self._router.emitter, self._router)
            _shared.leave(self._url, embedded, CLOSE_S)

    def __enter__(self) -> Router:
        router = self._open()
        try:
            self._wait()
        except BaseException:
            self._close()
            raise
        return router

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    async def __aenter__(self) -> Router:
        router = self._open()
        try:
            await asyncio.to_thread(self._wait)
        except BaseException:
            self._close()
            raise
        return router

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.to_thread(self._close)

    def _wait(self) -> None:
        if self._embedded is not None:
            self._embedded.wait_for_snapshot(FIRST_SNAPSHOT_S)


def open_router(
    url: str, config: Config | str | Path | None, service: str | None, policy: str | None, rng: random.Random | None, environ: Mapping[str, str]
) -> Connection:
    """The connection behind `Router.connect`. Raises ConfigError for a bad URL, configuration or service."""
    loaded = _config(config, environ)
    services = sorted(loaded.services)
    if service is None and len(services) != 1:
        raise ConfigError(f"which service? The configuration has {services}: pass service=")
    return Connection(url, loaded, service or services[0], policy, rng or random.Random())


def open_emitter(url: str, config: Config | str | Path | None, rng: random.Random | None, environ: Mapping[str, str]) -> Emitter:
    """The emitter behind `Emitter.connect`."""
    url, loaded = _embedded_url(url), _config(config, environ)
    embedded = _shared.join(url, loaded)
    emitter = embedded.emitter(rng or random.Random())

    def close(timeout_s: float) -> bool:
        embedded.release(emitter)
        return _shared.leave(url, embedded, timeout_s)

    emitter.on_close(close)
    return emitter


def _config(config: Config | str | Path | None, environ: Mapping[str, str]) -> Config:
    return config if isinstance(config, Config) else load_config(None if config is None else Path(config), environ)


def _embedded_url(url: str) -> str:
    scheme = urlsplit(url).scheme
    if scheme != "memory":
        raise ConfigError(f"log {url!r} cannot be opened: this version runs on the embedded log, give 'memory://' or 'memory://name'")
    return url
