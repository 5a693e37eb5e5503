"""A real Apache Kafka on this machine, for tests, benchmarks and `routecast demo --kafka auto`: no container, only Java and Maven.

The jars come from Maven once and are kept in `$XDG_CACHE_HOME/routecast` (54 MB); a broker answers two seconds after its start and
takes 340 MB. It listens on the loopback interface only.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Self

from routecast.models.errors import RoutecastError

VERSION = "4.1.1"
_START_S = 60.0
_STOP_S = 30.0
_LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1} %m%n
logger.started.name = kafka.server.KafkaRaftServer
logger.started.level = INFO
logger.started2.name = org.apache.kafka.common.utils.AppInfoParser
logger.started2.level = INFO
logger.quiet.name = org.apache.kafka
logger.quiet.level = ERROR
"""


class BrokerUnavailable(RoutecastError):  # noqa: N818 - names the state
    """No broker can be started here; the text says what is missing."""


def missing_tools() -> list[str]:
    """Programs that a local broker needs and this machine lacks."""
    needed = ("java",) if _cache().joinpath(".complete").exists() else ("java", "mvn")
    return [tool for tool in needed if shutil.which(tool) is None]


def free_port() -> int:
    """A free port below the range the kernel gives to clients, so that no client can connect to itself by accident."""
    start = 20_000 + int.from_bytes(os.urandom(2)) % 11_000
    for port in range(start, 32_000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BrokerUnavailable("no free port between 20000 and 32000")


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "routecast" / f"kafka-{VERSION}"


def _jars() -> Path:
    """Folder of the jars, fetched where they are not there yet."""
    folder = _cache()
    if (folder / ".complete").exists():
        return folder
    lacking = missing_tools()
    if lacking:
        raise BrokerUnavailable(f"a local Kafka needs {' and '.join(lacking)}: install them, or give a running broker")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        pom = Path(scratch) / "pom.xml"
        pom.write_text(files("routecast").joinpath("data/kafka.pom.xml").read_text())
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={scratch}/jars"]
        done = subprocess.run(["mvn", "-q", "-B", "-f", str(pom), *goal], capture_output=True, text=True, check=False)  # noqa: S603, S607
        if done.returncode:
            raise BrokerUnavailable(f"Maven could not fetch Kafka {VERSION}: {(done.stdout + done.stderr)[-500:].strip()}")
        for jar in Path(scratch, "jars").iterdir():
            jar.replace(folder / jar.name)
    (folder / ".complete").touch()
    return folder


def run_tool(main: str, *arguments: str) -> str:
    """Run one of Kafka's own command-line classes; what it printed. Raises BrokerUnavailable when it fails."""
    command = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{_jars()}/*", main, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise BrokerUnavailable(f"{main} failed: {(done.stdout + done.stderr)[-2000:].strip()}")
    return done.stdout


class LocalBroker:
    """One broker of a cluster of one or more, each broker and controller at once.

    Args:
        folder: where it keeps its data, configuration and log; a restart finds everything again.
        properties: further settings of the broker; they win over the defaults.
        scram: SCRAM-SHA-512 users and their passwords, made when the storage is formatted.
        listener: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`: how clients talk to it.
        node, voters, cluster: of a cluster of several; `start_cluster` fills them in.

    `with` starts and stops it.
    """

    def __init__(
        self, folder: Path, *, properties: Mapping[str, str] | None = None, scram: Mapping[str, str] | None = None, listener: str = "PLAINTEXT",
        node: int = 1, ports: tuple[int, int] | None = None, voters: str = "", cluster: str = "",
    ) -> None:  # fmt: skip
        self.folder = folder
        self.port, self._controller_port = ports or (free_port(), free_port())
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._listener = listener
        self._node = node
        self._voters = voters or f"{node}@127.0.0.1:{self._controller_port}"
        self._cluster = cluster or uuid.uuid4().hex[:22]
        self._properties = dict(properties or {})
        self._scram = dict(scram or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the broker printed."""
        return self.folder / "broker.log"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Start, or start again with the data of the last time; returns when it answers. Raises BrokerUnavailable."""
        self.launch()
        self.wait()
        return self

    def launch(self) -> None:
        """Start without waiting; brokers of a cluster answer only once most of them run."""
        jars = _jars()
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self._configure()
        if not (self.folder / "data" / "meta.properties").exists():
            users = [part for name, password in self._scram.items() for part in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")]
            run_tool("kafka.tools.StorageTool", "format", "-t", self._cluster, "-c", str(configuration), *users)
        options = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"]
        with self.log.open("ab") as log:
            command = ["java", *options, "-cp", f"{jars}/*", "kafka.Kafka", str(configuration)]
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)  # noqa: S603

    def wait(self) -> None:
        """Wait until it accepts connections."""
        until_s = time.monotonic() + _START_S
        while time.monotonic() < until_s:
            if self._process is None or self._process.poll() is not None:
                break
            if b"Kafka Server started" in self.log.read_bytes()[self._begun :]:
                return
            time.sleep(0.05)
        self.kill()
        raise BrokerUnavailable(f"Kafka did not start within {_START_S:.0f} s: {self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """Stop in good order; after 30 s the hard way."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _configure(self) -> Path:
        self._begun = self.log.stat().st_size if self.log.exists() else 0
        settings = {
            "process.roles": "broker,controller", "node.id": str(self._node), "controller.quorum.voters": self._voters,
            "listeners": f"CLIENT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{self.port}", "controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "CLIENT",
            "listener.security.protocol.map": f"CLIENT:{self._listener},CONTROLLER:PLAINTEXT", "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
            "offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4", "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false", "log.cleaner.backoff.ms": "1000", "log.initial.task.delay.ms": "1000",
        } | self._properties  # fmt: skip
        path = self.folder / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        (self.folder / "log4j2.properties").write_text(_LOGGING)
        return path

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def start_cluster(folder: Path, brokers: int, properties: Mapping[str, str] | None = None) -> Sequence[LocalBroker]:
    """Start a cluster of so many brokers; stop each of them when done."""
    ports = [(free_port(), free_port()) for _ in range(brokers)]
    voters = ",".join(f"{i + 1}@127.0.0.1:{controller}" for i, (_, controller) in enumerate(ports))
    cluster = uuid.uuid4().hex[:22]
    started = [
        LocalBroker(folder / f"broker-{i + 1}", properties=properties, node=i + 1, ports=pair, voters=voters, cluster=cluster) for i, pair in enumerate(ports)
    ]
    for broker in started:
        broker.launch()
    for broker in started:
        broker.wait()
    return started
