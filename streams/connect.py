"""Where a URL leads: `kafka://host:9092` to brokers, `memory://[name]` to an embedded pipeline in this process. The same URL is the same log."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol
from urllib.parse import urlsplit

from routecast.models.config import Config
from routecast.models.errors import ConfigError
from routecast.streams.brokers.kafka import addressed
from routecast.streams.clock import SystemClock
from routecast.streams.configuration import load_config
from routecast.streams.embedded import Embedded
from routecast.streams.emitter import Emitter
from routecast.streams.fork import renew_after_fork
from routecast.streams.live import Live
from routecast.streams.router import Router

FIRST_SNAPSHOT_S = 5.0
"""Longest wait for the first snapshot; without it a router starts from its configuration."""
CLOSE_S = 5.0


class Driver(Protocol):
    """What carries events and snapshots between this process and a log."""

    config: Config

    def emitter(self, rng: random.Random) -> Emitter:
        """A new emitter."""
        ...

    def router(self, service: str, rng: random.Random, policy: str | None) -> Router:
        """A new router, with an emitter of its own."""
        ...

    def wait_for_snapshot(self, service: str, timeout_s: float, /) -> bool:
        """Wait for a snapshot of this service; whether there is one."""
        ...

    def release(self, emitter: Emitter, router: Router | None, timeout_s: float, /) -> bool:
        """Deliver what waits and let go of an emitter, and of its router; whether it was delivered in time."""
        ...

    def close(self, timeout_s: float) -> bool:
        """Stop; whether that took no longer."""
        ...


class _Shared:
    """Drivers of this process by URL, each for as long as somebody uses it."""

    def __init__(self) -> None:
        self._begin()
        renew_after_fork(self, _Shared._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, tuple[Driver, int]] = {}

    def join(self, url: str, config: Config) -> Driver:
        with self._lock:
            driver, users = self._running.get(url) or (_driver(url, config), 0)
            if driver.config != config:
                raise ConfigError(f"{url!r} already runs in this process with another configuration: use one configuration, or another name behind memory://")
            self._running[url] = (driver, users + 1)
            return driver

    def serve(self, url: str, driver: Driver) -> None:
        with self._lock:
            if url in self._running:
                raise ConfigError(f"{url!r} already runs in this process: use another name behind memory://")
            self._running[url] = (driver, 1)

    def leave(self, url: str, driver: Driver, timeout_s: float) -> bool:
        with self._lock:
            running, users = self._running.get(url, (None, 0))
            if running is not driver:
                return False
            if users > 1:
                self._running[url] = (driver, users - 1)
                return True
            del self._running[url]
        return driver.close(timeout_s)


_shared = _Shared()


def join_as(url: str, driver: Driver) -> None:
    """Have this driver serve a URL of this process until everybody has left it, the caller too. Raises ConfigError where something runs there."""
    _shared.serve(url, driver)


def leave(url: str, driver: Driver, timeout_s: float) -> bool:
    """Leave a URL; the last one to do so closes the driver. Whether that took no longer than `timeout_s`."""
    return _shared.leave(url, driver, timeout_s)


def _driver(url: str, config: Config) -> Driver:
    return Embedded(config, SystemClock()) if urlsplit(url).scheme == "memory" else Live(config, SystemClock())


class Connection:
    """A router on a log; `async with` or `with` gives the router and takes it down again."""

    def __init__(self, url: str, config: Config, service: str, policy: str | None, rng: random.Random) -> None:
        self._url, self._config = _opened(url, config)
        self._service = service
        self._policy = policy
        self._rng = rng
        self._driver: Driver | None = None
        self._router: Router | None = None

    def _open(self) -> Router:
        self._driver = _shared.join(self._url, self._config)
        try:
            self._router = self._driver.router(self._service, self._rng, self._policy)
        except BaseException:
            _shared.leave(self._url, self._driver, CLOSE_S)
            raise
        return self._router

    def _close(self, timeout_s: float = CLOSE_S) -> None:
        driver, self._driver = self._driver, None
        if driver is not None and self._router is not None:
            _let_go(self._url, driver, self._router.emitter, self._router, timeout_s)

    def __enter__(self) -> Router:
        router = self._open()
        try:
            self._wait()
        except BaseException:
            self._close(0.0)
            raise
        return router

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    async def __aenter__(self) -> Router:
        router = self._open()
        try:
            await asyncio.to_thread(self._wait)
        except BaseException:
            self._close(0.0)  # nothing was routed yet, and the application's loop must not stand still
            raise
        return router

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.to_thread(self._close)

    def _wait(self) -> None:
        if self._driver is not None:
            self._driver.wait_for_snapshot(self._service, FIRST_SNAPSHOT_S)


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
    key, loaded = _opened(url, _config(config, environ))
    driver = _shared.join(key, loaded)
    emitter = driver.emitter(rng or random.Random())

    emitter.on_close(lambda timeout_s: _let_go(key, driver, emitter, None, timeout_s))
    return emitter


def _let_go(url: str, driver: Driver, emitter: Emitter, router: Router | None, timeout_s: float) -> bool:
    """Deliver what waits and leave the log, together within this time; whether both worked."""
    until_s = time.monotonic() + timeout_s
    delivered = driver.release(emitter, router, timeout_s)
    return _shared.leave(url, driver, max(0.0, until_s - time.monotonic())) and delivered


def _config(config: Config | str | Path | None, environ: Mapping[str, str]) -> Config:
    return config if isinstance(config, Config) else load_config(None if config is None else Path(config), environ)


def _opened(url: str, config: Config) -> tuple[str, Config]:
    """What names this log in the process, and the configuration for it. Raises ConfigError for a URL that leads nowhere."""
    if urlsplit(url).scheme == "memory":
        return url, config
    config = addressed(config, url)
    return f"kafka://{config.kafka.bootstrap}/{config.version}", config
