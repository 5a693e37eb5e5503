from __future__ import annotations

import logging
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAuthorizationFailedError
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from routecast import Emitter, Router
from routecast.models.config import Config, Kafka
from routecast.models.errors import ConfigError
from routecast.models.events import Completed, decode_events
from routecast.servers.kafka import LocalBroker, run_tool
from routecast.streams.brokers.access import ROLES, Role, rules
from routecast.streams.brokers.admin import administrator
from routecast.streams.brokers.kafka import client_options, reach, topic_name
from routecast.streams.brokers.reading import reader
from routecast.streams.configuration import load_config
from routecast.streams.connect import CLOSE_S
from routecast.streams.leadership.leading import producer
from routecast.streams.topics import ALL, EVENTS

Run = Callable[[Coroutine[Any, Any, Any]], Any]
PREFIX = "secure."
pytestmark = pytest.mark.timeout(300)  # the first test waits for the broker and a dozen runs of Kafka's tool
USERS = (*ROLES, "application", "loner", "stranger")
GRANTED: dict[Role, tuple[str, ...]] = {
    "emitter": ("emitter", "application"), "router": ("router", "application"), "worker": ("worker", "loner"), "sink": ("sink",),
    "operator": ("operator",),
}  # fmt: skip
PASSWORDS = {user: f"{user}-{secrets.token_hex(8)}" for user in USERS}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

TARGETS = """
[[target]]
id = "a"
provider = "p"
model = "m"
service = "chat"

[intervals]
snapshot_ms = 500
metrics_ms = 1000
"""


class Secured(NamedTuple):
    """A broker that lets nobody do anything without a rule, and what its clients need."""

    broker: LocalBroker
    folder: Path

    def login(self, user: str, **other: Any) -> Kafka:
        """By password, over TLS."""
        named = {"username": user, "password_file": self._file(user), "ca_file": self._file("ca.pem"), "security_protocol": "SASL_SSL"}
        return Kafka.model_validate({"bootstrap": self.broker.bootstrap, "prefix": PREFIX, **named, **other})

    def certified(self, name: str | None, **other: Any) -> Kafka:
        """By client certificate; by none where the name is None."""
        certificate = {} if name is None else {"cert_file": self._file(f"{name}.pem"), "key_file": self._file(f"{name}.key")}
        named = {"bootstrap": self.broker.address("SSL"), "security_protocol": "SSL", "ca_file": self._file("ca.pem")}
        return Kafka.model_validate({"prefix": PREFIX, **named, **certificate, **other})

    def inside(self) -> Kafka:
        """As the brokers talk among themselves: may everything."""
        return Kafka(bootstrap=self.broker.address("PLAINTEXT"), prefix=PREFIX)

    def _file(self, name: str) -> str:
        return str(self.folder / name)


def _write_certificates(folder: Path) -> None:
    ours, foreign = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(folder / "ca.pem"))
    foreign.cert_pem.write_to_path(str(folder / "foreign-ca.pem"))
    server = ours.issue_cert("127.0.0.1")
    key = load_pem_private_key(server.private_key_pem.bytes(), None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(key + b"".join(chain.bytes() for chain in server.cert_chain_pems))
    issued = {
        **{name: ours.issue_cert(f"{name}@example.org", common_name=name) for name in ("emitter", "worker", "application")},
        "foreign": foreign.issue_cert("emitter@example.org", common_name="emitter"),
        "expired": ours.issue_cert("emitter@example.org", common_name="emitter", not_before=LONG_AGO.replace(year=2019), not_after=LONG_AGO),
    }
    for name, certificate in issued.items():
        certificate.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
        certificate.private_key_pem.write_to_path(str(folder / f"{name}.key"))


def _properties(folder: Path) -> dict[str, str]:
    plain = " ".join(f'user_{user}="{password}"' for user, password in PASSWORDS.items())
    return {
        "ssl.keystore.type": "PEM", "ssl.keystore.location": str(folder / "server.pem"),
        "ssl.truststore.type": "PEM", "ssl.truststore.location": str(folder / "ca.pem"),
        "listener.name.ssl.ssl.client.auth": "required", "listener.name.ssl.ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": f"org.apache.kafka.common.security.plain.PlainLoginModule required {plain};",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS", "allow.everyone.if.no.acl.found": "false",
    }  # fmt: skip


@pytest.fixture(scope="module")
def secured(broker_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The broker with the rules that `routecast access` prints and the topics that an operator made; users are named after their role."""
    del broker_tools
    folder = tmp_path_factory.mktemp("secured")
    _write_certificates(folder)
    for user, password in PASSWORDS.items():
        (folder / user).write_text(f"{password}\n")
    listeners = ("SASL_SSL", "SSL", "PLAINTEXT")
    with LocalBroker(folder / "broker", properties=_properties(folder), scram=PASSWORDS, listeners=listeners) as broker:
        found = Secured(broker, folder)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda arguments: run_tool("org.apache.kafka.tools.AclCommand", *arguments), _grants(found)))
        made = _routecast(folder, found.login("operator"), "topics", "create")
        assert made.returncode == 0, made.stderr
        yield found


def _grants(secured: Secured) -> Iterator[list[str]]:
    """What `routecast access` prints, as arguments of Kafka's own tool; the loner gets no consumer group."""
    for role, (user, *others) in GRANTED.items():
        for rule in rules(secured.inside(), (role,), user).rules:
            options = shlex.split(rule.command)
            more = [part for other in others if (other, rule.resource) != ("loner", "group") for part in ("--allow-principal", f"User:{other}")]
            yield [*options[1:3], *options[5:], *more]


def _routecast(folder: Path, settings: Kafka, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROUTECAST_")}
    command = [sys.executable, "-m", "routecast.cli", *arguments, "--config", str(_config_file(folder, settings))]
    return subprocess.run(command, capture_output=True, text=True, env=kept, timeout=100, check=False)


def _config_file(folder: Path, settings: Kafka) -> Path:
    keys = "".join(f"{key} = {value!r}\n" for key, value in settings if isinstance(value, str))
    file = folder / "routecast.toml"
    file.write_text(f"{TARGETS}\n[kafka]\n{keys}")
    return file


async def _may_read(settings: Kafka) -> set[str]:
    """Topics of which this login gets records."""
    async with administrator(settings) as admin:
        described = await admin.describe_topics([topic_name(settings, topic) for topic in ALL])
    found: set[str] = set()
    visible = [item["topic"] for item in described if not item["error_code"]]
    if not visible:
        return found
    async with AIOKafkaConsumer(**client_options(settings)) as consumer:
        for name in visible:
            consumer.assign([TopicPartition(name, 0)])
            consumer.seek(TopicPartition(name, 0), 0)
            try:
                await consumer.getmany(timeout_ms=300)
            except TopicAuthorizationFailedError:
                continue
            found.add(name.removeprefix(PREFIX))
    return found


async def _may_write(settings: Kafka) -> set[str]:
    """Topics to which this login can append; a tombstone does no harm in any of them."""
    found: set[str] = set()
    for topic in ALL:
        async with AIOKafkaProducer(**client_options(settings)) as producer:
            try:
                await producer.send_and_wait(topic_name(settings, topic), None, key=b"nobody", partition=0)
            except TopicAuthorizationFailedError:
                continue
        found.add(topic)
    return found


@pytest.mark.parametrize(
    ("user", "reads", "writes"),
    [
        ("emitter", set[str](), {"events", "control"}),
        ("router", {"scores", "details"}, {"trips"}),
        (
            "worker",
            {"events", "control", "trips", "panes", "state", "metrics", "insights", "ticks"},
            {"panes", "state", "ticks", "scores", "details", "metrics", "insights", "control", "vitals", "deadletter"},
        ),
        ("sink", {"metrics", "scores", "insights", "control", "events", "vitals"}, {"deadletter"}),
        ("operator", set(ALL), {"control"}),
        ("application", {"scores", "details"}, {"events", "control", "trips"}),
        ("stranger", set[str](), set[str]()),
    ],
)
def test_a_login_may_do_what_its_role_needs_and_no_more(secured: Secured, run: Run, user: str, reads: set[str], writes: set[str]) -> None:
    """Every topic is tried for reading and for writing on the real broker."""
    settings = secured.login(user)
    assert run(_may_read(settings)) == reads
    assert run(_may_write(settings)) == writes


def test_a_leader_that_may_not_say_what_it_elected_goes_on_publishing(secured: Secured, run: Run) -> None:
    """A login of before there were elections: the refusal is the word's alone."""
    settings = secured.login("sink")
    config = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}], "kafka": settings})

    async def refused_then_written() -> None:
        async with producer(config) as out:
            with pytest.raises(TopicAuthorizationFailedError):
                await out.send_and_wait(topic_name(settings, "control"), b"{}", key=b"elected/chat", partition=0)
            await out.send_and_wait(topic_name(settings, "deadletter"), b"{}", partition=0)

    run(refused_then_written())


@pytest.mark.parametrize("user", ["emitter", "router", "worker", "application", "stranger"])
def test_only_operators_make_topics_and_nobody_deletes_them(secured: Secured, run: Run, user: str) -> None:
    """A program that is taken over cannot remove what others wrote."""

    async def refused(settings: Kafka) -> tuple[int, int]:
        async with administrator(settings) as admin:
            made: Any = await admin.create_topics([NewTopic(f"{PREFIX}new", 1, 1)])
            deleted: Any = await admin.delete_topics([topic_name(settings, "events")])
            return made.topic_errors[0][1], deleted.topic_error_codes[0][1]

    assert run(refused(secured.login(user))) == (TopicAuthorizationFailedError.errno, TopicAuthorizationFailedError.errno)
    assert _routecast(secured.folder, secured.login("operator"), "topics", "check").returncode == 0


@pytest.mark.parametrize("login", [Secured.login, Secured.certified], ids=["password", "certificate"])
def test_a_worker_and_an_application_work_with_their_own_logins(
    secured: Secured, tmp_path: Path, start_worker: Callable[..., Any], eventually: Callable[..., None], login: Callable[[Secured, str], Kafka]
) -> None:
    """Events go in with one login, a worker process folds and publishes with another, a router sees it; no log holds a password."""
    worker = start_worker(_config_file(tmp_path, login(secured, "worker")), "--log", "DEBUG")
    worker.wait_for("ready")
    config = load_config(_config_file(tmp_path, login(secured, "application")), {})
    url = f"kafka://{config.kafka.bootstrap}"
    emitter = Emitter.connect(url, config.model_copy(update={"kafka": login(secured, "emitter")}))
    with Router.connect_sync(url, config, service="chat") as router:
        assert router.snapshot is not None
        eventually(lambda: router.system() is not None)
        before = router.system()
        emitter.completed("r", "a", "ok", 5.0)
        with router.track(router.choose()):
            pass
        eventually(lambda: (now := router.system()) is not None and before is not None and now.requests_total == before.requests_total + 2)
    assert emitter.close(5.0)
    assert worker.stop() == 0
    assert "Traceback" not in worker.said
    assert [password for password in PASSWORDS.values() if password in worker.said + secured.broker.log.read_text()] == []


WRONG: dict[str, tuple[Callable[[Secured], Kafka], str]] = {
    "password": (lambda s: s.login("worker", password_file=str(s.folder / "router")), "user 'worker' is refused; check kafka.username and the password"),
    "user": (lambda s: s.login("nobody", password_file=str(s.folder / "router")), "user 'nobody' is refused; check kafka.username and the password"),
    "authority": (
        lambda s: s.login("worker", ca_file=str(s.folder / "foreign-ca.pem")),
        "is not trusted (unable to get local issuer certificate); check kafka.ca",
    ),
    "name": (lambda s: s.login("worker", bootstrap=s.broker.bootstrap.replace("127.0.0.1", "localhost")), "is for another name (Hostname mismatch"),
    "mechanism": (lambda s: s.login("worker", sasl_mechanism="SCRAM-SHA-256"), "takes no login by SCRAM-SHA-256; check kafka.sasl_mechanism"),
    "no TLS": (lambda s: s.login("worker", security_protocol="SASL_PLAINTEXT"), "check that kafka.security_protocol = 'SASL_PLAINTEXT' is what"),
    "no login": (lambda s: s.certified(None, bootstrap=s.broker.bootstrap), "check that kafka.security_protocol = 'SSL' is what"),
    "a login too much": (lambda s: s.login("worker", bootstrap=s.broker.address("PLAINTEXT"), security_protocol="SASL_PLAINTEXT"), "takes no login at this"),
    "no certificate": (lambda s: s.certified(None), "asks for a client certificate; set kafka.cert_file and kafka.key_file"),
    "expired certificate": (lambda s: s.certified("expired"), "refuses our certificate; check that kafka.cert_file = "),
    "foreign certificate": (lambda s: s.certified("foreign"), "refuses our certificate; check that kafka.cert_file = "),
    "host": (lambda s: s.login("worker", bootstrap="nowhere.invalid:9092"), "no such host; check kafka.bootstrap"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("command", [("topics", "check"), ("worker",)], ids=" ".join)
def test_what_is_wrong_with_a_connection_is_said_in_one_sentence(secured: Secured, tmp_path: Path, what: str, command: tuple[str, ...]) -> None:
    """Within ten seconds, with what to check, exit code 4, and without the password."""
    wrong, sentence = WRONG[what]
    began_s = time.monotonic()
    ran = _routecast(tmp_path, wrong(secured), *command)
    assert time.monotonic() - began_s < 10
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (4, "", 1), ran.stderr
    assert sentence in ran.stderr
    assert [password for password in PASSWORDS.values() if password in ran.stderr] == []


def test_a_router_that_is_not_let_in_says_so_and_goes_on(secured: Secured, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log of the application names what to check, once; requests do not wait for it."""
    settings = secured.login("application", password_file=str(secured.folder / "router"))
    config = load_config(_config_file(tmp_path, settings), {})
    with caplog.at_level(logging.WARNING), Router.connect_sync(f"kafka://{settings.bootstrap}", config, service="chat") as router:
        assert router.choose().target == "a"
    assert [record.getMessage().count("user 'application' is refused; check kafka.username") for record in caplog.records] == [1]


def test_a_router_that_may_not_tell_of_trips_says_so_and_reports_all_the_same(
    secured: Secured, tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """Its announcement is given up, once and with a word; nothing waits for it when the router closes."""
    settings = secured.login("emitter")
    config = load_config(_config_file(tmp_path, settings), {})
    with caplog.at_level(logging.WARNING), Router.connect_sync(f"kafka://{settings.bootstrap}", config, service="chat") as router:
        for _ in range(4):
            router.start(router.choose()).finish("error")
        emitter, began_s = router.emitter, time.monotonic()
    assert time.monotonic() - began_s < CLOSE_S
    assert run(_completed(secured.inside(), emitter.name)) == 4
    assert sum("this login may not write to 'secure.trips'" in record.getMessage() for record in caplog.records) == 1


async def _completed(settings: Kafka, emitter: str) -> int:
    """Completions that this emitter reported."""
    found = 0
    async with reader(settings) as read:
        for partition, end in (await read.ends(EVENTS, await read.partitions(EVENTS))).items():
            async for record in read.stretch(EVENTS, partition, 0, end):
                found += sum(isinstance(event, Completed) and event.emitter == emitter for event in decode_events(record.value or b"")[0])
    return found


def test_a_worker_without_rights_says_what_it_needs(secured: Secured, tmp_path: Path) -> None:
    """It cannot see its topics, nor make them."""
    ran = _routecast(tmp_path, secured.login("stranger"), "worker")
    assert ran.returncode == 5
    assert "secure.events" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_worker_that_may_not_join_the_others_says_so(secured: Secured, tmp_path: Path) -> None:
    """Everything but the consumer group is allowed to it."""
    ran = _routecast(tmp_path, secured.login("loner"), "worker")
    assert ran.returncode == 5
    assert "may not use the consumer group 'secure.worker': `routecast access --role worker" in ran.stderr


def test_a_client_certificate_is_a_login_too(secured: Secured, run: Run) -> None:
    """Its name is the user to whom the rules apply."""
    settings = secured.certified("emitter")
    assert run(_may_read(settings)) == set()
    assert run(_may_write(settings)) == {"events", "control"}


def test_no_password_gets_into_the_debug_log(secured: Secured, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """Not even with the mechanism PLAIN, which sends it as it is."""
    with caplog.at_level(logging.DEBUG):
        run(reach(secured.login("emitter", sasl_mechanism="PLAIN")))
    assert "ApiVersion" in caplog.text
    assert PASSWORDS["emitter"] not in caplog.text


def test_no_password_is_part_of_the_configuration(secured: Secured, tmp_path: Path) -> None:
    """It stays in its file, whatever is printed."""
    settings = secured.login("emitter")
    config = load_config(_config_file(tmp_path, settings), {})
    shown = _routecast(tmp_path, settings, "config", "show")
    assert shown.returncode == 0
    assert PASSWORDS["emitter"] not in repr(config) + config.model_dump_json() + shown.stdout + shown.stderr


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"password_file": "absent"}, r"kafka.password_file = '.*absent' cannot be read: No such file"),
        ({"password_file": "empty"}, r"kafka.password_file = '.*empty' is empty"),
        ({"ca_file": "absent"}, r"TLS cannot be set up from ca_file = '.*absent'.*No such file"),
        ({"cert_file": "emitter.pem", "key_file": "foreign.key"}, r"TLS cannot be set up from .*key_file.*mismatch"),
        ({"cert_file": "emitter.pem", "key_file": "encrypted.key"}, r"TLS cannot be set up from .*the key is encrypted"),
    ],
)
def test_files_that_cannot_be_used_are_named(secured: Secured, files: dict[str, str], sentence: str) -> None:
    """Before anything is connected; an encrypted key does not wait for somebody at the terminal."""
    (secured.folder / "empty").touch()
    _encrypt(secured.folder)
    with pytest.raises(ConfigError, match=sentence):
        client_options(secured.login("emitter", **{key: str(secured.folder / name) for key, name in files.items()}))


def _encrypt(folder: Path) -> None:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption  # noqa: PLC0415

    key = load_pem_private_key((folder / "emitter.key").read_bytes(), None)
    (folder / "encrypted.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"phrase")))
