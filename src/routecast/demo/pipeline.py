"""What stands behind the demonstration on Kafka: brokers, topics, workers. What it started ends with it, whatever happens."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from routecast.models.config import Config, Kafka
from routecast.models.errors import CheckFailed, ConfigError, RoutecastError, Unreachable
from routecast.servers.kafka import LocalBroker, missing_tools
from routecast.streams.brokers.admin import administrator, create_topics
from routecast.streams.brokers.kafka import addressed, reach, topic_name
from routecast.streams.configuration import load_config
from routecast.streams.configuration_file import as_toml
from routecast.streams.topics import ALL

AUTO = "auto"
_READY_S = 60.0
_STOP_S = 10.0
_POLL_S = 0.05
_DETAILS_MS = 2_000.0
"""Own workers publish details this often, so that nobody waits long for the last of them."""


class LivePipeline:
    """Brokers, topics and workers for some targets; `with` starts them and takes them down again.

    Args:
        where: `auto` for a broker of our own, or `kafka://host:9092[,…]`.
        targets: the configuration of the demonstration.
        workers: worker processes to start, on topics of their own; 0 where workers run already.
        file: a configuration with these targets, and how to reach the brokers; the built-in one where None.
        environ: settings on top, as for every command; a broker of our own needs none.
        say: told what is going on.

    Raises Unreachable, ConfigError, CheckFailed, BrokerUnavailable. Set `failed` to keep the logs.
    """

    def __init__(
        self, where: str, targets: Config, workers: int, *, file: Path | None = None, environ: Mapping[str, str], say: Callable[[str], object]
    ) -> None:  # fmt: skip
        if where == AUTO and workers == 0:
            raise ConfigError(
                "--workers 0 says that workers run already, which cannot be on a broker that is only being started: give --kafka kafka://host:9092"
            )
        self._where = where
        self._targets = targets
        self.workers = workers
        self.fresh = workers > 0
        """Whether the topics are its own, so that nothing has been counted before."""
        self._file = file
        self._environ = environ
        self._say = say
        self._running: list[subprocess.Popen[bytes]] = []
        self._stack = ExitStack()
        self.failed = False

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="routecast-demo-"))
        self._stack.callback(self._clear)
        try:
            self.config = self._configured()
            self._broker()
            self._topics()
            self._work()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.failed |= isinstance(error, Exception)
        self._stack.close()

    @property
    def url(self) -> str:
        """Where routers connect."""
        return f"kafka://{self.config.kafka.bootstrap}"

    def check(self) -> None:
        """Raise CheckFailed where a worker has ended by itself."""
        for number, process in enumerate(self._running):
            if process.poll() is not None:
                said = self._log(number).read_text(errors="replace").strip().splitlines()
                raise CheckFailed(f"worker {process.pid} ended by itself with exit code {process.returncode}: {said[-1] if said else 'it said nothing'}")

    def _clear(self) -> None:
        """Remove the folder; of a run that failed, keep the logs and say where."""
        logs = [log for log in self._folder.rglob("*.log") if log.stat().st_size]
        if self.failed and logs:
            kept = Path(tempfile.mkdtemp(prefix="routecast-demo-logs-"))
            for log in logs:
                shutil.move(log, kept / log.name)
            self._say(f"logs are in {kept}")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _configured(self) -> Config:
        file = self._file
        if file is None:
            file = self._folder / "targets.toml"
            file.write_text(as_toml(self._targets), encoding="utf-8")
        config = load_config(file, {} if self._where == AUTO else self._environ)
        self._check_targets(config)
        config = config.model_copy(update={"kafka": Kafka()}) if self._where == AUTO else addressed(config, self._where)
        if not self.workers:
            return config
        kafka = config.kafka.model_copy(update={"prefix": f"routecast-demo-{uuid.uuid4().hex[:8]}."})
        return config.model_copy(update={"kafka": kafka, "intervals": config.intervals.model_copy(update={"metrics_ms": _DETAILS_MS})})

    def _broker(self) -> None:
        if self._where != AUTO:
            return
        if lacking := missing_tools():
            raise Unreachable(
                f"--kafka auto needs {' and '.join(lacking)}, not found on the PATH: install Java 17 or newer (and Maven for the first time), "
                "or give running brokers with --kafka kafka://host:9092; without --kafka the demonstration needs neither"
            )
        self._say("starting a Kafka broker (the first time, Maven fetches 54 MB)")
        broker = LocalBroker(self._folder / "kafka")
        self._stack.callback(broker.kill)  # its data go with the folder: nothing to put in order
        broker.start()
        self.config = addressed(self.config, f"kafka://{broker.bootstrap}")

    def _check_targets(self, config: Config) -> None:
        for service in self._targets.services:
            needed, there = ({target.id for target in it.targets_of(service)} for it in (self._targets, config))
            if needed != there:
                raise ConfigError(
                    f"{str(self._file)!r} does not have the targets of the demonstration in service {service!r} (missing: {sorted(needed - there)}, "
                    f"foreign: {sorted(there - needed)}): write a file that has with `routecast demo --write-config FILE`"
                )

    def _topics(self) -> None:
        settings = self.config.kafka
        asyncio.run(reach(settings))
        if self.workers and self._where != AUTO:
            self._stack.callback(self._remove_topics)
        asyncio.run(create_topics(settings))

    def _remove_topics(self) -> None:
        settings = self.config.kafka
        try:
            asyncio.run(_delete(settings))
        except RoutecastError as error:
            self._say(f"the topics {settings.prefix}* could not be removed ({error}): remove them by hand")

    def _work(self) -> None:
        if not self.workers:
            return
        self._say(f"starting {self.workers} workers on {self.config.kafka.bootstrap}, topics {self.config.kafka.prefix}*")
        file = self._folder / "routecast.toml"
        file.write_text(as_toml(self.config), encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROUTECAST_")} | {"TMPDIR": str(self._folder)}
        self._stack.callback(self._stop_workers)
        for number in range(self.workers):
            self._start_worker(number, file, kept)
        until_s = time.monotonic() + _READY_S
        while not all("ready" in self._log(number).read_text(errors="replace") for number in range(self.workers)):
            self.check()
            if time.monotonic() > until_s:
                raise CheckFailed(f"the workers were not ready within {_READY_S:.0f} s: look into their logs")
            time.sleep(_POLL_S)
        self._say(f"ready; in another terminal: routecast top --config {file}")

    def _start_worker(self, number: int, file: Path, environ: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "routecast.cli", "worker", "--config", str(file)]
        with self._log(number).open("wb") as log, _signals_later():
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environ, start_new_session=True)  # noqa: S603 - ourselves
            self._running.append(process)

    def _log(self, number: int) -> Path:
        return self._folder / f"worker-{number + 1}.log"

    def _stop_workers(self) -> None:
        until_s = time.monotonic() + _STOP_S
        try:
            for process in self._running:
                process.terminate()
            for process in self._running if self._where != AUTO else ():  # a broker that goes too need not see them leave
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, until_s - time.monotonic()))
        finally:
            for process in self._running:
                process.kill()
                process.wait()


@contextmanager
def _signals_later() -> Generator[None]:
    """Signals act at the end of the block: a process that is being started must be known before anything ends."""
    caught: list[int] = []
    handlers = {name: signal.signal(name, lambda number, _: caught.append(number)) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)
    for number in caught[:1]:
        signal.raise_signal(number)


async def _delete(settings: Kafka) -> None:
    async with administrator(settings) as client:
        await client.delete_topics([topic_name(settings, topic) for topic in ALL])
