"""Fixtures for all tests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from hypothesis import settings

from routecast.models.config import Config, Kafka
from routecast.servers import influxd
from routecast.servers.kafka import LocalBroker, free_port, missing_tools, start_cluster
from routecast.streams.configuration import load_config

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")

Result = TypeVar("Result")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """No measuring of coverage in tests that are marked `untraced`, nor in the fixtures that are made for them."""
    trace = sys.gettrace()
    if item.get_closest_marker("untraced"):
        sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(trace)


@pytest.fixture(scope="session")
def traces() -> Path:
    """Folder of the original recordings; absent on most machines, never under CI."""
    folder = os.environ.get("ROUTECAST_TRACES")
    if folder and Path(folder).is_dir():
        return Path(folder)
    if os.environ.get("CI"):
        pytest.fail("ROUTECAST_TRACES must name the folder of the recordings under CI")
    pytest.skip("needs the original recordings: set ROUTECAST_TRACES to their folder")


@pytest.fixture(scope="session")
def broker_tools() -> None:
    """What a local broker needs; its tests are skipped without, never under CI."""
    lacking = missing_tools()
    if lacking and os.environ.get("CI"):
        pytest.fail(f"{' and '.join(lacking)} must be installed under CI")
    if lacking:
        pytest.skip(f"needs a Kafka broker: install {' and '.join(lacking)}, or set ROUTECAST_TEST_KAFKA=host:port to a running one")


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[str]:
    """A broker for all tests that only need one to talk to: the one of `ROUTECAST_TEST_KAFKA`, or our own."""
    running = os.environ.get("ROUTECAST_TEST_KAFKA")
    if running:
        yield running
        return
    request.getfixturevalue("broker_tools")
    with LocalBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.bootstrap


@pytest.fixture
def kafka(bootstrap: str) -> Kafka:
    """How to reach a broker on which no other test has anything under this prefix."""
    return Kafka(bootstrap=bootstrap, prefix=f"test-{uuid.uuid4().hex[:8]}.")


@pytest.fixture
def start_brokers(broker_tools: None, tmp_path: Path) -> Iterator[Callable[[int], Sequence[LocalBroker]]]:
    """Starts a cluster of so many brokers; they end with the test."""
    del broker_tools
    started: list[LocalBroker] = []

    def start(brokers: int) -> Sequence[LocalBroker]:
        started.extend(start_cluster(tmp_path, brokers))
        return started

    yield start
    for broker in started:
        broker.kill()


class InfluxServer(NamedTuple):
    """An InfluxDB 2 that runs, and a token that may do everything there."""

    url: str
    organisation: str
    token: str


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build InfluxDB before the first test that needs it: no test's time suffices."""
    needed = any({"influx", "influx_tools"} & set(getattr(item, "fixturenames", ())) for item in session.items) and not session.config.option.collectonly
    if needed and not os.environ.get("ROUTECAST_TEST_INFLUX") and not influxd.built() and not influxd.missing_tools():
        print(f"building InfluxDB {influxd.VERSION} once, about 4 minutes", file=sys.stderr, flush=True)
        influxd.build()


@pytest.fixture(scope="session")
def influx_tools() -> None:
    """What a local InfluxDB needs; its tests are skipped without, never under CI."""
    lacking = influxd.missing_tools()
    if lacking and os.environ.get("CI"):
        pytest.fail(f"{' and '.join(lacking)} must be installed under CI")
    if lacking:
        pytest.skip(f"needs InfluxDB 2: install {' and '.join(lacking)}, or set ROUTECAST_TEST_INFLUX=url,organisation,token to a running one")


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[InfluxServer]:
    """An InfluxDB for all tests that only need one to talk to: the one of `ROUTECAST_TEST_INFLUX`, or our own."""
    running = os.environ.get("ROUTECAST_TEST_INFLUX")
    if running:
        yield InfluxServer(*running.split(",", 2))
        return
    request.getfixturevalue("influx_tools")
    with influxd.LocalInflux(tmp_path_factory.mktemp("influx")) as server:
        yield InfluxServer(server.url, server.organisation, server.token)


TARGETS = """
[[target]]
id = "a"
provider = "p-a"
model = "m"
service = "chat"

[[target]]
id = "b"
provider = "p-b"
model = "m"
service = "chat"

[[target]]
id = "c"
provider = "p-c"
model = "m"
service = "mail"

[intervals]
snapshot_ms = 500
metrics_ms = 1000
"""


@pytest.fixture
def config_file(kafka: Kafka, tmp_path: Path) -> Path:
    """Two services on that broker: targets a and b of `chat`, c of `mail`; quick intervals."""
    file = tmp_path / "routecast.toml"
    file.write_text(f'{TARGETS}\n[kafka]\nbootstrap = "{kafka.bootstrap}"\nprefix = "{kafka.prefix}"\n')
    return file


@pytest.fixture
def config(config_file: Path) -> Config:
    """What `config_file` says."""
    return load_config(config_file, {})


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts worker processes for a configuration file; they end with the test."""
    started: list[Worker] = []

    def start(config_file: Path, *options: str) -> Worker:
        started.append(Worker(config_file, tmp_path / f"worker-{len(started)}.log", options))
        return started[-1]

    yield start
    for worker in started:
        worker.stop()


class Worker:
    """A worker process and its log."""

    def __init__(self, config_file: Path, log: Path, options: Sequence[str] = ()) -> None:
        self.log = log
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROUTECAST_")}
        command = [sys.executable, "-m", "routecast.cli", "worker", "--config", str(config_file), *options]
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=kept)

    @property
    def said(self) -> str:
        """Everything it has logged so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, words: str, *, within_s: float = 60.0) -> None:
        """Wait until its log holds these words."""
        until_s = time.monotonic() + within_s
        while words not in self.said:
            if self.process.poll() is not None or time.monotonic() > until_s:
                raise AssertionError(f"the worker did not say {words!r} (exit code {self.process.poll()}):\n{self.said}")
            time.sleep(0.02)

    def stop(self) -> int:
        """Have it stop in good order, with force after 30 s; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Receiver:
    """A webhook's receiver: answers as the script says, 200 when it is at its end."""

    def __init__(self) -> None:
        self.script: list[tuple[int, Mapping[str, str]] | None] = []
        """Status and headers, one for each post; None: the connection is closed without an answer."""
        self.posts: list[tuple[str, dict[str, Any]]] = []
        """Idempotency key and body of each."""
        self.held = threading.Event()
        """Clear: posts wait with their answer."""
        self.held.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), self._handler())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}/hooks/secret"

    @property
    def keys(self) -> list[str]:
        """Of all posts."""
        return [key for key, _ in self.posts]

    def close(self) -> None:
        """Answer no more."""
        self.held.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = receiver.script.pop(0) if receiver.script else (200, dict[str, str]())
                receiver.posts.append((self.headers["Idempotency-Key"], body))
                receiver.held.wait(60)
                if answer is None:
                    self.close_connection = True
                    return
                with suppress(OSError):  # a client that was killed does not listen
                    self.send_response(answer[0])
                    for name, value in {"Content-Length": "2", **answer[1]}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(b"ok")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
                pass

        return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks on this machine."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, Result]], Result]:
    """Runs a coroutine to its end, at most 100 s."""

    def run_within(work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run(asyncio.wait_for(work, 100))

    return run_within


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Waits until something that goes on elsewhere has happened, at most `within_s`."""

    def wait(true: Callable[[], object], *, within_s: float = 60.0) -> None:
        until_s = time.monotonic() + within_s
        while not true():
            if time.monotonic() > until_s:
                raise AssertionError(f"it did not happen within {within_s:.0f} s")
            time.sleep(0.02)

    return wait
