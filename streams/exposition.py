"""`/metrics` for Prometheus, `/healthz` and `/readyz` for orchestrators: what a program tells of itself by HTTP.

Figures are read on the program's loop, which takes a moment, and become text in a thread, so that a scrape delays nothing. Nobody has to log
in: it listens on this machine alone unless told otherwise, and tells names of targets, counts and times, never what a request contained.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from importlib import metadata
from importlib.util import find_spec
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from routecast.models.errors import ConfigError
from routecast.models.telemetry import BOUNDS_S, BUILD, READY, Bars, Family, Sample

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_STOP_S: Final = 1.0

Read = Callable[[], Iterable[Sample]]


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def listening(self) -> socket.socket:
        """A socket that listens there. Raises ConfigError where that is not possible, or what is needed is not installed."""
        lacking = [name for name in ("aiohttp", "prometheus_client") if find_spec(name) is None]
        if lacking:
            raise ConfigError(f"metrics need {' and '.join(lacking)}, not installed here: pip install 'routecast[streams]'")
        try:
            return socket.create_server((self.host, self.port), family=socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise ConfigError(f"metrics cannot be served at {self.host}:{self.port} ({reason}): give another --metrics-port or --metrics-host") from error

    def check(self) -> None:
        """Raises what `listening` raises."""
        with closing(self.listening()):
            pass


@asynccontextmanager
async def serving(at: socket.socket, read: Read, ready: Callable[[], bool]) -> AsyncGenerator[None]:
    """Answer there as long as the block lasts.

    Args:
        at: a socket that listens; it is closed in the end.
        read: the samples of this moment, beside those that every program has.
        ready: whether the program does its work.
    """
    from aiohttp import web  # noqa: PLC0415 - an extra

    async def metrics(_: web.Request) -> web.Response:
        samples = [Sample(BUILD, 1.0, (metadata.version("routecast"),)), Sample(READY, float(ready())), *read()]
        return web.Response(body=await asyncio.to_thread(text, samples), headers={"Content-Type": content_type()})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ready\n") if ready() else web.Response(text="not ready\n", status=503)

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_S)
    await runner.setup()
    try:
        await web.SockSite(runner, at).start()
        yield
    finally:
        await runner.cleanup()


def content_type() -> str:
    """Of the text."""
    from prometheus_client import CONTENT_TYPE_LATEST  # noqa: PLC0415 - an extra

    return CONTENT_TYPE_LATEST


def text(samples: Sequence[Sample]) -> bytes:
    """The samples as Prometheus reads them, and what the system tells of this process."""
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest  # noqa: PLC0415 - an extra

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Samples(samples))
    return generate_latest(registry)


class _Samples:
    """What prometheus_client asks for its metrics."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterable[Metric]:
        """A metric for each family, its samples together."""
        by_family: dict[Family, list[Sample]] = {}
        for sample in self._samples:
            by_family.setdefault(sample.family, []).append(sample)
        for family, samples in by_family.items():
            yield _metric(family, samples)


def _metric(family: Family, samples: Iterable[Sample]) -> Metric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily  # noqa: PLC0415 - an extra

    kinds: dict[str, Any] = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    metric = kinds[family.kind](family.name, family.meaning, labels=family.labels)
    for sample in samples:
        if isinstance(sample.value, Bars):
            bounds = [*map(str, BOUNDS_S), "+Inf"]
            metric.add_metric(sample.labels, list(zip(bounds, accumulate(sample.value.counts), strict=True)), sample.value.sum_s)
        else:
            metric.add_metric(sample.labels, sample.value)
    return metric  # type: ignore[no-any-return] # one of three classes
