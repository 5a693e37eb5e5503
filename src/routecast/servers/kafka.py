"""A real Apache Kafka on this machine, for tests, benchmarks and `routecast demo --kafka auto`: no container, only Java and Maven.

The jars come from Maven once and are kept in `$XDG_CACHE_HOME/routecast` (54 MB); a broker answers two seconds after its start and
takes 340 MB. It listens on the loopback interface only.
"""

from __future__ import annotations

import os
import shutil
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
from routecast.servers.local_process import LocalProcess

VERSION = "4.1.1"
_START_S = 60.0
_TOLD = 6
"""Lines of a failed broker to show: the first ones name the cause."""
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
    needed = ("java",) if _cache().is_dir() else ("java", "mvn")
    return [tool for tool in needed if shutil.which(tool) is None]


def free_port() -> int:
    """One port of `free_ports`."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many free ports, all different, below the range the kernel gives to clients: no client can connect to itself by accident.

    Raises BrokerUnavailable.
    """
    found: list[int] = []
    first = 20_000 + int.from_bytes(os.urandom(2)) % 11_000
    for port in range(first, 32_000):
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise BrokerUnavailable(f"no {count} free ports between {first} and 32000: try again")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "routecast" / f"kafka-{VERSION}"


def _jars() -> Path:
    """Folder of the jars, fetched where it is not there yet. It appears complete or not at all, whoever else fetches at the same time."""
    folder = _cache()
    if folder.is_dir():
        return folder
    lacking = missing_tools()
    if lacking:
        raise BrokerUnavailable(f"a local Kafka needs {' and '.join(lacking)}: install them, or give a running broker")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        pom, jars = Path(scratch, "pom.xml"), Path(scratch, "jars")
        pom.write_text(files("routecast").joinpath("data/kafka.pom.xml").read_text())
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        done = subprocess.run(["mvn", "-q", "-B", "-f", str(pom), *goal], capture_output=True, text=True, check=False)  # noqa: S603, S607
        if done.returncode:
            raise BrokerUnavailable(f"Maven could not fetch Kafka {VERSION}: {(done.stdout + done.stderr)[-500:].strip()}")
        try:
            jars.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
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
        scram: SCRAM-SHA-512 users and their passwords, made when the storage is formatted. For trials: they stand on a command line.
        listeners: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT`, `SASL_SSL`, each on a port of its own: how clients talk to it. Brokers use the last.
        node, ports, voters, cluster: of a cluster of several; `start_cluster` fills them in.

    `with` starts and stops it.
    """

    def __init__(
        self, folder: Path, *, properties: Mapping[str, str] | None = None, scram: Mapping[str, str] | None = None,
        listeners: Sequence[str] = ("PLAINTEXT",), node: int = 1, ports: Sequence[int] = (), voters: str = "", cluster: str = "",
    ) -> None:  # fmt: skip
        self.folder = folder
        *client_ports, controller_port = ports or free_ports(len(listeners) + 1)
        self._addresses = {listener: f"127.0.0.1:{port}" for listener, port in zip(listeners, client_ports, strict=True)}
        self._controller = f"127.0.0.1:{controller_port}"
        self.bootstrap = self._addresses[listeners[0]]
        self._node = node
        self._voters = voters or f"{node}@{self._controller}"
        self._cluster = cluster or uuid.uuid4().hex[:22]
        self._properties = dict(properties or {})
        self._scram = dict(scram or {})
        self._process = LocalProcess(folder / "broker.log")
        self._begun = 0

    def address(self, listener: str) -> str:
        """The host:port of one of its listeners; `bootstrap` is that of the first."""
        return self._addresses[listener]

    @property
    def log(self) -> Path:
        """What the broker printed."""
        return self._process.log

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid

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
        self._process.start(["java", *options, "-cp", f"{jars}/*", "kafka.Kafka", str(configuration)])

    def wait(self) -> None:
        """Wait until it answers. Raises BrokerUnavailable with the end of its log where it ends instead, or needs more than 60 s."""
        until_s = time.monotonic() + _START_S
        while self._process.running and time.monotonic() < until_s:
            if b"Kafka Server started" in self.log.read_bytes()[self._begun :]:
                return
            time.sleep(0.05)
        self.kill()
        said = self.log.read_bytes()[self._begun :].decode(errors="replace").splitlines()
        told = [line for line in said if not line.startswith("\t")]
        raise BrokerUnavailable(f"Kafka did not start, see {str(self.log)!r}: " + "\n".join(told[:_TOLD]))

    def stop(self) -> None:
        """Stop in good order; after 30 s the hard way."""
        self._process.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()

    def _configure(self) -> Path:
        self._begun = self.log.stat().st_size if self.log.exists() else 0
        clients = ",".join(f"{listener}://{address}" for listener, address in self._addresses.items())
        names = [*self._addresses, "CONTROLLER"]
        settings = {
            "process.roles": "broker,controller", "node.id": str(self._node), "controller.quorum.voters": self._voters,
            "listeners": f"{clients},CONTROLLER://{self._controller}", "advertised.listeners": clients, "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": names[-2], "log.dirs": str(self.folder / "data"),
            "listener.security.protocol.map": ",".join(f"{name}:{'PLAINTEXT' if name == 'CONTROLLER' else name}" for name in names),
            "offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
            "offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4", "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false", "log.cleaner.backoff.ms": "1000", "log.initial.task.delay.ms": "1000",
        } | self._logins() | self._properties  # fmt: skip
        path = self.folder / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        (self.folder / "log4j2.properties").write_text(_LOGGING)
        return path

    def _logins(self) -> dict[str, str]:
        module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        modules = {f"listener.name.{name.lower()}.scram-sha-512.sasl.jaas.config": module for name in self._addresses if name.startswith("SASL")}
        return {"sasl.enabled.mechanisms": "SCRAM-SHA-512"} | modules if modules else {}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def start_cluster(folder: Path, brokers: int, properties: Mapping[str, str] | None = None) -> Sequence[LocalBroker]:
    """Start a cluster of so many brokers, internal topics on all of them; stop each of them when done. Raises BrokerUnavailable."""
    drawn = free_ports(2 * brokers)
    ports = list(zip(drawn[::2], drawn[1::2], strict=True))
    voters = ",".join(f"{i + 1}@127.0.0.1:{controller}" for i, (_, controller) in enumerate(ports))
    cluster = uuid.uuid4().hex[:22]
    copies = {"offsets.topic.replication.factor": str(brokers), "transaction.state.log.replication.factor": str(brokers)} | dict(properties or {})
    started = [
        LocalBroker(folder / f"broker-{i + 1}", properties=copies, node=i + 1, ports=pair, voters=voters, cluster=cluster) for i, pair in enumerate(ports)
    ]
    try:
        for broker in started:
            broker.launch()
        for broker in started:
            broker.wait()
    except BaseException:
        for broker in started:
            broker.kill()
        raise
    return started
