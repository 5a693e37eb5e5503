"""Set-ups broken on purpose, on a real Kafka and a real InfluxDB: each is found, and what the doctor prints mends it when it is typed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import shlex
import subprocess
import sys
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import psutil
import pytest
from aiokafka.admin import NewTopic
from influxdb_client.client.influxdb_client import InfluxDBClient

from routecast.dashboards.doctor.checks import checks
from routecast.models.config import Kafka
from routecast.models.diagnosis import Checked
from routecast.models.events import Completed, Marker, encode_events
from routecast.servers.kafka import LocalBroker, free_ports, run_tool
from routecast.streams.brokers.access import Role
from routecast.streams.brokers.admin import administrator, create_topics
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.clock import SystemClock
from routecast.streams.configuration import load_config
from routecast.streams.doctor.examination import Typed, examine
from routecast.streams.leadership.leading import producer
from routecast.streams.topics import SPECS

pytestmark = pytest.mark.timeout(300)  # the first test waits for the broker
USERS = {user: secrets.token_hex(8) for user in ("admin", "reader")}
TOOLS = {
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand", "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
}  # fmt: skip
TARGETS = "".join(f'[[target]]\nid = "{name}"\nprovider = "p"\nmodel = "m"\nservice = "chat"\n' for name in ("a", "b"))
INTERVALS = "[intervals]\nsnapshot_ms = 500\nmetrics_ms = 1000\n"
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("ROUTECAST_")}
ADDRESSES = {"SASL_PLAINTEXT": 0, "WRONG": 1, "PLAINTEXT": 2}


class Server(Protocol):
    """The `influx` fixture."""

    url: str
    organisation: str
    token: str


class Cluster(NamedTuple):
    """A broker with a listener for logins, one for administrators that asks for nothing, and one that is advertised wrongly."""

    broker: LocalBroker
    folder: Path

    def kafka(self, prefix: str, **other: Any) -> Kafka:
        """As the administrators reach it."""
        return Kafka.model_validate({"bootstrap": self.broker.address("PLAINTEXT"), "prefix": prefix, **other})


def _broker(folder: Path, ports: Sequence[int], advertised: str) -> LocalBroker:
    addresses = {"SASL_PLAINTEXT": f"127.0.0.1:{ports[0]}", "WRONG": advertised, "PLAINTEXT": f"127.0.0.1:{ports[2]}"}
    properties = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS;User:admin",
        "allow.everyone.if.no.acl.found": "false", "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.security.protocol.map": "SASL_PLAINTEXT:SASL_PLAINTEXT,WRONG:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "advertised.listeners": ",".join(f"{name}://{address}" for name, address in addresses.items()),
    }  # fmt: skip
    return LocalBroker(folder / "broker", properties=properties, scram=USERS, listeners=tuple(addresses), ports=ports)


@pytest.fixture(scope="module")
def cluster(broker_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all tests of this file."""
    del broker_tools
    folder, ports = tmp_path_factory.mktemp("doctor"), free_ports(4)
    jaas = f'org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="{USERS["admin"]}";'
    login = f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config={jaas}\n"
    (folder / "admin.properties").write_text(login)
    with _broker(folder, ports, "127.0.0.1:9") as broker:
        yield Cluster(broker, folder)


class Setup:
    """A folder with a configuration, as somebody has it who asks the doctor."""

    def __init__(self, folder: Path, kafka: Kafka, admin: Path) -> None:
        self.folder = folder
        self.kafka = kafka
        self.file = folder / "routecast.toml"
        self._admin = admin
        self._running: list[subprocess.Popen[bytes]] = []
        self.write("")

    def write(self, more: str, **keys: str) -> None:
        """The configuration anew, with further text and other keys in `[kafka]`."""
        login = {"bootstrap": self.kafka.bootstrap, "prefix": self.kafka.prefix} | keys
        self.file.write_text(f"{TARGETS}{INTERVALS}[kafka]\n" + "".join(f'{key} = "{value}"\n' for key, value in login.items()) + more)

    def examined(self, *names: str, role: Role | None = None, clock: Any = None) -> dict[str, list[Checked]]:
        """What these checks find and those they need, by name; all of them where none is named."""
        used = clock or SystemClock()
        asked = checks(role, self.file, {}, None, used)
        needed = set(names or [check.name for check in asked])
        for check in reversed(asked):
            needed |= set(check.needs) if check.name in needed else set()
        found = asyncio.run(asyncio.wait_for(examine([check for check in asked if check.name in needed], used, 20.0), 100))
        typed, by_check = Typed(str(self.file), None), dict[str, list[Checked]]()
        for item in found:
            by_check.setdefault(item.check, []).append(item.model_copy(update={"fix": typed(item.fix)}))
        return by_check

    def bad(self, check: str, role: Role | None = None, status: str = "failed") -> list[Checked]:
        """What a check finds wrong; it must be something."""
        found = self.examined(check, role=role)[check]
        assert {item.status for item in found} == {status}, found
        return found

    def well(self, check: str, role: Role | None = None) -> bool:
        """Whether a check finds nothing wrong."""
        return {item.status for item in self.examined(check, role=role)[check]} == {"ok"}

    def type(self, fix: str) -> str:
        """Type what the doctor has printed; what it printed. Kafka's tools are run by their classes, with an administrator's login."""
        printed = ""
        for command in re.sub(r"  #.*$", "", fix).split(" && "):
            words = shlex.split(command)
            if words[0] in TOOLS:
                printed += run_tool(TOOLS[words[0]], *[str(self._admin) if word == "admin.properties" else word for word in words[1:]])
            else:
                assert words[0] == "routecast", fix
                ran = subprocess.run(self._words(words), cwd=self.folder, capture_output=True, text=True, env=ENVIRON, timeout=60, check=False)
                assert ran.returncode == 0, ran.stderr
                printed += ran.stdout
        return printed

    def begin(self, fix: str) -> subprocess.Popen[bytes]:
        """Type a command that goes on until it is stopped; it ends with the test."""
        with (self.folder / f"log-{len(self._running)}").open("wb") as log:
            self._running.append(subprocess.Popen(self._words(shlex.split(fix)), cwd=self.folder, stdout=log, stderr=log, env=ENVIRON))
        return self._running[-1]

    def end(self) -> None:
        """End what goes on."""
        for process in self._running:
            process.kill()
            process.wait()

    def _words(self, words: list[str]) -> list[str]:
        return [sys.executable, "-m", "routecast.cli", *words[1:]]

    def say(self, *values: bytes) -> None:
        """Append records of events."""

        async def append() -> None:
            async with producer(load_config(self.file, {})) as out:
                for value in values:
                    await out.send_and_wait(topic_name(self.kafka, "events"), value, partition=0)

        asyncio.run(append())


@pytest.fixture
def setup(cluster: Cluster, tmp_path: Path) -> Iterator[Setup]:
    """Without topics, under a prefix of its own."""
    made = Setup(tmp_path, cluster.kafka(f"d{uuid.uuid4().hex[:8]}."), cluster.folder / "admin.properties")
    yield made
    made.end()


def _ended(target: str, emitter: str = "host-1-x", ahead_ms: float = 0.0) -> bytes:
    now_ms = time.time() * 1000.0 + ahead_ms
    return encode_events([Completed(at_ms=now_ms, emitter=emitter, request_id=uuid.uuid4().hex, target=target, provider="p", model="m", service="chat",
                                    started_at_ms=now_ms - 100, duration_ms=100, outcome="ok", start_reported=False)])  # fmt: skip


def test_brokers_that_are_away_are_found_and_what_needs_them_is_skipped(setup: Setup) -> None:
    """The address in the fix is the one to write; nothing else is asked of brokers meanwhile."""
    address = setup.kafka.bootstrap
    setup.write("", bootstrap="127.0.0.1:1")
    found = setup.examined()
    assert found["broker"][0].detail == "Kafka at '127.0.0.1:1' cannot be reached: nothing listens there"
    assert found["broker"][0].fix == "check that Kafka is running, and kafka.bootstrap"
    assert {item.detail for name in ("listeners", "topics", "leader", "sink") for item in found[name]} == {"because `broker` failed"}
    setup.write("", bootstrap=address)
    assert setup.well("broker")


def test_an_address_that_speaks_another_protocol_is_found(setup: Setup, cluster: Cluster, tmp_path: Path) -> None:
    """Which one it speaks is tried; the line in the fix is what belongs into the file. Then the password is wrong."""
    (tmp_path / "password").write_text("guess")
    login = {"bootstrap": cluster.broker.bootstrap, "username": "admin", "password_file": str(tmp_path / "password")}
    setup.write("", **login)
    wrong = setup.bad("broker")[0]
    assert wrong.detail.endswith("does not speak PLAINTEXT, but SASL_PLAINTEXT")
    edit = re.fullmatch(r"set (\w+ = .*) in \[kafka\]", wrong.fix)
    assert edit
    setup.write("", **login, **tomllib.loads(edit[1]))
    refused = setup.bad("broker")[0]
    assert refused.detail.endswith("user 'admin' is refused")
    assert refused.fix == f"check kafka.username and the password in kafka.password_file = {login['password_file']!r}"
    (tmp_path / "password").write_text(USERS["admin"])
    assert setup.well("broker")


def test_topics_that_are_not_as_they_must_be_are_mended_from_the_top(setup: Setup) -> None:
    """Missing ones, one with too few partitions, a wrong cleanup policy and a short retention."""

    async def make() -> None:
        async with administrator(setup.kafka) as client:
            await client.create_topics([
                NewTopic(f"{setup.kafka.prefix}panes", 2, 1, topic_configs=dict(SPECS["panes"].configs)),
                NewTopic(f"{setup.kafka.prefix}events", 4, 1, topic_configs=dict(SPECS["events"].configs)),
                NewTopic(f"{setup.kafka.prefix}trips", 1, 1, topic_configs={**SPECS["trips"].configs, "retention.ms": "1000"}),
                NewTopic(f"{setup.kafka.prefix}scores", 1, 1, topic_configs={**SPECS["scores"].configs, "cleanup.policy": "delete"}),
            ])  # fmt: skip

    asyncio.run(make())
    found = setup.bad("topics")
    said = [item.detail.replace(setup.kafka.prefix, "") for item in found]
    assert said[0].startswith("8 topics do not exist, or this login may not see them: control, ticks,")
    assert said[1:] == [
        "panes has 2 partitions, events has 4: they must be equal", "trips retention.ms is 1000, not 86400000", "scores cleanup.policy is delete, not compact",
    ]  # fmt: skip
    for item in found:
        setup.type(item.fix)
    assert setup.well("topics")


def test_a_login_that_may_too_little_is_told_what_an_administrator_has_to_allow(setup: Setup, cluster: Cluster, tmp_path: Path) -> None:
    """By what the brokers say of it, without reading or writing anything; the role it can fill is named otherwise."""
    asyncio.run(create_topics(setup.kafka))
    (tmp_path / "password").write_text(USERS["reader"])
    login = {"username": "reader", "password_file": str(tmp_path / "password"), "security_protocol": "SASL_PLAINTEXT"}
    setup.write("", bootstrap=cluster.broker.bootstrap, **login)
    hidden = setup.bad("access", status="warning")[0]
    assert hidden.fix == f"routecast access --user reader --config {setup.file}"
    found = setup.bad("access", "router")
    assert [item.detail.replace(setup.kafka.prefix, "") for item in found] == [
        "this login may not Read topic scores, details", "this login may not Write topic trips",
    ]  # fmt: skip
    assert "kafka-acls.sh" in setup.type(hidden.fix)
    for item in found:
        setup.type(item.fix)
    assert setup.well("access", "router")
    assert setup.examined("access")["access"][0].detail == "this login may do what these roles need: router"
    assert [item.status for item in setup.examined("topics", role="router")["topics"]] == ["skipped"]  # settings are an operator's to look at


def test_a_broker_that_advertises_an_address_that_leads_nowhere_is_found(setup: Setup, cluster: Cluster) -> None:
    """Its first answer comes all the same, which is why clients hang."""
    setup.write("", bootstrap=cluster.broker.address("WRONG"))
    found = setup.examined()
    assert [item.status for item in (*found["broker"], *found["listeners"])] == ["ok", "failed"]
    assert "advertises 127.0.0.1:9, which cannot be reached from here" in found["listeners"][0].detail
    assert "`advertised.listeners`" in found["listeners"][0].fix


class Ahead(SystemClock):
    """A clock that is five minutes ahead."""

    def now_ms(self) -> float:
        """Epoch milliseconds, too many."""
        return super().now_ms() + 300_000.0


def test_workers_leaders_clocks_events_and_targets(setup: Setup, eventually: Callable[..., None]) -> None:
    """Nobody works; somebody does, stands still, is joined; then what is on the log is wrong, bit by bit."""
    asyncio.run(create_topics(setup.kafka))
    found = setup.examined()
    assert [found[name][0].status for name in ("leader", "workers", "clocks", "events")] == ["failed", "failed", "skipped", "skipped"]
    assert found["leader"][0].fix == found["workers"][0].fix == f"routecast worker --config {setup.file}"
    first = setup.begin(found["workers"][0].fix)
    eventually(lambda: setup.well("leader") and setup.well("workers") and setup.well("versions"))
    late = setup.examined("clocks", clock=Ahead())
    assert (late["leader"][0].status, late["clocks"][0].status) == ("ok", "failed")
    assert late["clocks"][0].detail == "the clock of this machine is 5 min ahead of that of the brokers"
    assert (late["clocks"][0].fix, setup.well("clocks")) == ("timedatectl set-ntp true", True)
    _events(setup, eventually)
    setup.write("[routing]\npolicy = 'round_robin'\n")
    assert "the leader runs with configuration" in setup.bad("versions", status="warning")[0].detail
    setup.write("")
    psutil.Process(first.pid).suspend()
    stale = setup.bad("leader")[0]
    assert "no snapshot of chat comes, the newest is" in stale.detail
    setup.begin(stale.fix)
    eventually(lambda: setup.well("leader"))


def _events(setup: Setup, eventually: Callable[..., None]) -> None:
    """Events that cannot be read, from the future, and of a target that nobody has configured."""
    setup.say(_ended("a"), b'[{"type":"request.completed","emitter":"host-7-bad","outcome":"good"}]', _ended("zz", "host-8-fast", 20_000.0))
    events = setup.bad("events", status="warning")
    assert "1 of the last events cannot be read, from emitter 'host-7-bad': " in events[0].detail
    assert re.fullmatch(r"the clock of emitter 'host-8-fast' is (19\.\d|20\.0) s ahead of that of the brokers", events[1].detail)
    eventually(lambda: "outcome" in setup.bad("dead letters", status="warning")[0].detail)
    assert "host-7-bad" in setup.type(events[0].fix)
    assert "outcome" in setup.type(setup.bad("dead letters", status="warning")[0].fix)
    eventually(lambda: len(setup.examined("targets")["targets"]) == 2)
    targets = setup.bad("targets", status="warning")
    assert [item.detail for item in targets] == [
        "target 'zz' had 1 requests and is not configured: nobody is routed to it", "1 of 2 configured targets never had a request: b",
    ]  # fmt: skip
    assert tomllib.loads(targets[0].fix)["target"] == [{"id": "zz", "provider": "p", "model": "m", "service": "chat"}]
    assert "b (p, m" in setup.type(targets[1].fix)
    setup.say(*[_ended("b")] * 100)  # their programs were mended
    eventually(lambda: setup.well("events"))
    setup.write(targets[0].fix)
    eventually(lambda: setup.well("targets"))
    setup.write("")


def test_what_is_wrong_with_influxdb_is_mended_from_the_top(setup: Setup, influx: Server, tmp_path: Path) -> None:
    """Away, never set up, a bucket missing, one that forgets too early, a token that may only read, one that nobody knows."""
    prefix = f"test-{uuid.uuid4().hex[:8]}-"
    files = {key: str(tmp_path / key) for key in ("token_file", "read_token_file", "admin_token_file")}

    def write(url: str) -> None:
        keys = {"url": url, "organisation": influx.organisation, "bucket_prefix": prefix, **files}
        setup.write("[influx]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items()))

    write("http://127.0.0.1:1")
    assert setup.examined("influx")["influx"][0].status == "skipped"  # nobody uses it
    away = setup.bad("influx", "sink")[0]
    assert (away.cause, away.fix) == ("unreachable", "check influx.url, and that it runs")
    write(influx.url)
    assert setup.well("influx", "sink")
    missing = setup.bad("sink token", "sink")[0]
    Path(files["admin_token_file"]).write_text(influx.token)
    assert "stored in the file" in setup.type(missing.fix)
    assert [setup.well(check) for check in ("sink token", "readers token")] == [True, True]
    store = Administrator(influx, prefix)
    try:
        _spoil(setup, store, files)
    finally:
        store.drop()


def _spoil(setup: Setup, store: Administrator, files: dict[str, str]) -> None:
    """Break one thing after the other, and mend it as told."""
    store.delete("1y")
    gone = setup.bad("sink token")[0]
    assert "sink may write to" in gone.detail
    _typed(setup, gone)
    renew = setup.bad("sink token")[0]  # no token that was made before knows the new bucket
    assert "--renew" in renew.fix
    _typed(setup, renew)
    assert setup.well("sink token")
    store.shorten("2y", 86_400)
    short = setup.bad("readers token")[0]
    assert "keeps 86400 s, not 63072000" in short.detail
    _typed(setup, short)
    assert setup.well("readers token")
    written = Path(files["token_file"]).read_text()
    Path(files["token_file"]).write_text(Path(files["read_token_file"]).read_text())
    assert len(setup.bad("sink token")) == 6
    Path(files["token_file"]).write_text("nonsense")
    unknown = setup.bad("sink token")
    Path(files["token_file"]).write_text(written)
    assert setup.well("sink token")
    Path(files["token_file"]).write_text("nonsense")
    _typed(setup, unknown[0])
    assert setup.well("sink token")


def _typed(setup: Setup, item: Checked) -> str:
    """Type the command that stands in the advice."""
    command = re.search(r"`(routecast [^`]+)`", item.fix)
    assert command, item.fix
    return setup.type(command[1])


class Administrator:
    """What somebody else does to InfluxDB."""

    def __init__(self, server: Server, prefix: str) -> None:
        self._client = InfluxDBClient(server.url, server.token, org=server.organisation)
        self._buckets: Any = self._client.buckets_api()
        self._prefix = prefix

    def delete(self, name: str) -> None:
        """A bucket."""
        self._buckets.delete_bucket(self._buckets.find_bucket_by_name(self._prefix + name))

    def shorten(self, name: str, kept_s: int) -> None:
        """What a bucket keeps."""
        found = self._buckets.find_bucket_by_name(self._prefix + name)
        found.retention_rules[0].every_seconds = found.retention_rules[0].shard_group_duration_seconds = kept_s
        self._buckets.update_bucket(found)

    def drop(self) -> None:
        """Everything that was made for the test."""
        for bucket in self._buckets.find_buckets(limit=100).buckets:
            if bucket.name.startswith(self._prefix):
                self._buckets.delete_bucket(bucket)
        tokens: Any = self._client.authorizations_api()
        for token in tokens.find_authorizations():
            if self._prefix in (token.description or ""):
                tokens.delete_authorization(token)
        self._client.close()


def test_a_sink_that_never_ran_is_found_and_started(setup: Setup, influx: Server, tmp_path: Path, eventually: Callable[..., None]) -> None:
    """Only where this machine is to be one; then it stores what is there."""
    asyncio.run(create_topics(setup.kafka))
    prefix = f"test-{uuid.uuid4().hex[:8]}-"
    keys = {"url": influx.url, "organisation": influx.organisation, "bucket_prefix": prefix, "admin_token_file": str(tmp_path / "admin")}
    keys |= {key: str(tmp_path / key) for key in ("token_file", "read_token_file")}
    setup.write("[influx]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items()))
    (tmp_path / "admin").write_text(influx.token)
    setup.type(f"routecast influx init --save --config {setup.file}")
    try:
        assert setup.examined("sink")["sink"][0].status == "skipped"
        setup.say(encode_events([Marker(at_ms=time.time() * 1000.0, emitter="host", title="release")]))
        never = setup.bad("sink", "sink")[0]
        assert (never.detail, never.fix) == ("no sink has ever stored anything", f"routecast sink --config {setup.file}")
        setup.begin(never.fix)
        eventually(lambda: setup.well("sink", "sink"))
    finally:
        setup.end()
        Administrator(influx, prefix).drop()


def test_a_wrong_configuration_a_missing_webhook_and_exit_codes(setup: Setup, tmp_path: Path) -> None:
    """As somebody at a terminal sees it: 3 for the configuration, 4 for what does not answer, 5 for the rest; every form says the same."""

    def doctor(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "routecast.cli", "doctor", "--config", str(setup.file), *options]
        return subprocess.run(command, capture_output=True, text=True, env=ENVIRON, timeout=60, check=False)

    setup.write("[routing]\npolcy = 'weighted'\n")
    shown = doctor("--plain")
    assert (shown.returncode, shown.stderr) == (3, "routecast: 1 of 19 findings are failures: mend them from the top\n")
    line = f"configuration\tfailed\t{setup.file}: routing.polcy: no such key; did you mean 'policy'?\t"
    assert line in shown.stdout
    setup.write(f"[routing]\npolicy = 'weighted'\n[alerts]\nwebhook_file = '{tmp_path / 'hook'}'\n", bootstrap="127.0.0.1:1")
    away = doctor("--json", "--role", "worker")
    found = {item["check"]: item for item in json.loads(away.stdout)["checks"]}
    assert (away.returncode, found["broker"]["status"], found["webhook"]["status"]) == (4, "failed", "failed")
    assert found["webhook"]["fix"] == "it holds the URL of a webhook and nothing else"
    (tmp_path / "hook").write_text("http://127.0.0.1:9/hook")
    setup.write(f"[alerts]\nwebhook_file = '{tmp_path / 'hook'}'\n")
    asyncio.run(create_topics(setup.kafka))
    assert doctor("--role", "worker").returncode == 0
    setup.type(f"routecast grafana export {tmp_path / 'grafana'} --config {setup.file}")
    board = next((tmp_path / "grafana" / "dashboards").glob("*.json"))
    board.write_text(board.read_text().replace('"editable": false', '"editable": true', 1))
    flaw = next(item for item in json.loads(doctor("--grafana", str(tmp_path / "grafana"), "--json").stdout)["checks"] if item["check"] == "grafana")
    assert (flaw["status"], board.name in flaw["detail"]) == ("failed", True)
    setup.type(flaw["fix"])
    assert json.loads(doctor("--grafana", str(tmp_path / "grafana"), "--json").stdout)["checks"][-1]["status"] == "ok"
    table = doctor()
    assert table.returncode == 5
    assert "failed   leader" in table.stdout
    assert f"\n{'':<24}routecast worker --config {setup.file}\n" in table.stdout
