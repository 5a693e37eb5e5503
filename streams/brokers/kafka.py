"""How every client reaches Kafka: addresses, TLS and login from the configuration, in the words of aiokafka; what is wrong, in ours."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.helpers import create_ssl_context

from routecast.models.config import BROKERS, Config, Kafka
from routecast.models.errors import ConfigError, Unreachable
from routecast.streams.topics import Topic

REACH_S = 8.0
"""Longest wait for the first broker to answer."""
METADATA_MS = 10_000
"""How often clients ask which partitions there are."""
REFUSED = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
"""What a broker answers where the access control lists do not allow something."""
_EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 10, 62, 64
"""Reasons of OpenSSL for not trusting a certificate."""


class _WithoutLogins(logging.Filter):
    """At DEBUG aiokafka logs whole requests, and the mechanism PLAIN sends the password as it is."""

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        return not any(type(argument).__name__.startswith("SaslAuthenticate") for argument in arguments)


logging.getLogger("aiokafka.conn").addFilter(_WithoutLogins())


def addressed(config: Config, url: str | None) -> Config:
    """The configuration with the brokers of a `kafka://host[:port][,host…]` URL. Raises ConfigError for another URL."""
    if url is None:
        return config
    parts = urlsplit(url)
    if parts.scheme == "memory":
        raise ConfigError(f"log {url!r} lives within the process that made it: give brokers, 'kafka://host:9092[,host:9092…]'")
    if "@" in parts.netloc:
        raise ConfigError("a kafka:// URL holds no login: kafka.username and kafka.password_file do")
    if parts.scheme != "kafka" or not BROKERS.fullmatch(parts.netloc) or parts.path.strip("/"):
        raise ConfigError(f"log {url!r} cannot be opened: give 'kafka://host:9092[,host:9092…]', or 'memory://' for the embedded log")
    hosts = [host if ":" in host else f"{host}:9092" for host in parts.netloc.split(",") if host]
    return config.model_copy(update={"kafka": config.kafka.model_copy(update={"bootstrap": ",".join(hosts)})})


def topic_name(settings: Kafka, topic: Topic) -> str:
    """The name of a topic on the brokers."""
    return settings.prefix + topic


def ssl_context(settings: Kafka) -> ssl.SSLContext | None:
    """TLS as configured; None where the protocol has none. Raises ConfigError for files that cannot be used."""
    if not settings.security_protocol.endswith("SSL"):
        return None
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=settings.ca_file, certfile=settings.cert_file, keyfile=settings.key_file, password=_no_passphrase
        )  # fmt: skip
    except (OSError, ValueError) as error:
        named = ", ".join(f"{key} = {value!r}" for key, value in settings if key in {"ca_file", "cert_file", "key_file"} and value)
        raise ConfigError(f"kafka: TLS cannot be set up from {named or 'the certificates of this system'}: {error}") from error
    return context


def _no_passphrase() -> str:
    """Without this, OpenSSL would ask at the terminal and wait."""
    raise ValueError("the key is encrypted; give a file with the key as it is, readable by this user alone")


def password(settings: Kafka) -> str:
    """The password in its file. Raises ConfigError where there is none."""
    try:
        text = Path(settings.password_file or "").read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
        raise ConfigError(f"kafka.password_file = {settings.password_file!r} {reason}; it holds the password and nothing else") from None
    if not text:
        raise ConfigError(f"kafka.password_file = {settings.password_file!r} is empty; it holds the password and nothing else")
    return text


def client_options(settings: Kafka) -> dict[str, Any]:
    """Keywords for any aiokafka client. Raises ConfigError for files that cannot be used."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap.split(","), "security_protocol": settings.security_protocol, "ssl_context": ssl_context(settings),
    }  # fmt: skip
    if settings.security_protocol.startswith("SASL"):
        options |= {"sasl_mechanism": settings.sasl_mechanism, "sasl_plain_username": settings.username, "sasl_plain_password": password(settings)}
    return options


async def reach(settings: Kafka) -> None:
    """Connect and log in to one broker, and leave again: aiokafka's clients do not say why they cannot.

    Raises Unreachable within 8 s, saying what to check, and ConfigError.
    """
    options = client_options(settings)
    hosts = collect_hosts(options.pop("bootstrap_servers"))
    reason: BaseException | None = None
    for host, port, _ in hosts:
        try:
            connection: Any = await create_conn(host, port, request_timeout_ms=int(REACH_S * 1000 / len(hosts)), **options)
        except (KafkaError, OSError) as error:
            reason = reason or error
            continue
        await connection.close()
        return
    assert reason is not None  # noqa: S101 - there is at least one host
    raise unreachable(settings, reason) from None


def pace(client: AIOKafkaClient) -> None:
    """Have a client ask for metadata at most eight times a second; again is as good as once.

    While a partition has no leader, aiokafka asks again as soon as it is answered, which keeps it and the broker busy with nothing else.
    """
    if "force_metadata_update" not in vars(client):
        client.force_metadata_update = paced(client.force_metadata_update)


def paced(ask: Callable[[], Awaitable[bool]], at_most: int = 8, within_s: float = 1.0) -> Callable[[], Awaitable[bool]]:
    """`ask`, called at most so many times in this time; whoever asks meanwhile shares the next answer."""
    asked: deque[float] = deque(maxlen=at_most)
    asking: asyncio.Task[bool] | None = None

    async def ask_in_turn() -> bool:
        loop = asyncio.get_running_loop()
        if len(asked) == at_most:
            await asyncio.sleep(asked[0] + within_s - loop.time())
        asked.append(loop.time())
        return await ask()

    def ask_again() -> Awaitable[bool]:
        nonlocal asking
        if asking is None or asking.done():
            asking = asyncio.ensure_future(ask_in_turn())
        return asyncio.shield(asking)

    return ask_again


def unreachable(settings: Kafka, error: BaseException) -> Unreachable:
    """What to tell a person when no broker lets us in."""
    return Unreachable(f"Kafka at {settings.bootstrap!r} cannot be reached: {_reason(settings, error)}")


def _reason(settings: Kafka, error: BaseException) -> str:
    """What is wrong and what to check; the causes of aiokafka's errors say more than the errors."""
    cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    if isinstance(cause, ssl.SSLError):
        return _tls_reason(settings, cause)
    ends = f"it ends the connection; check that {_protocol(settings)} is what this address speaks"
    login = f"check kafka.username and the password in kafka.password_file = {settings.password_file!r}"
    sentences: list[tuple[type[BaseException] | tuple[type[BaseException], ...], str]] = [
        (SaslAuthenticationFailed, f"user {settings.username!r} is refused; {login}"),
        (UnsupportedSaslMechanismError, f"it takes no login by {settings.sasl_mechanism}; check kafka.sasl_mechanism"),
        (IllegalSaslStateError, f"it takes no login at this address; check {_protocol(settings)}"),
        (REFUSED, f"this login may not do that ({cause}); `routecast access` prints what each role needs"),
        (socket.gaierror, "no such host; check kafka.bootstrap"),
        (ConnectionRefusedError, "nothing listens there; check that Kafka is running, and kafka.bootstrap"),
        ((KafkaConnectionError, ConnectionError), ends),
        (TimeoutError, "no answer in time; check that Kafka is running and that no firewall is in between"),
    ]
    otherwise = f"{str(cause) or type(cause).__name__}; check address, protocol and login in [kafka]"
    return next((sentence for kind, sentence in sentences if isinstance(cause, kind)), otherwise)


def _protocol(settings: Kafka) -> str:
    return f"kafka.security_protocol = {settings.security_protocol!r}"


def _tls_reason(settings: Kafka, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _EXPIRED:
            return "the certificate of the broker has expired; have it renewed, or check the clock of this machine"
        if error.verify_code in {_OTHER_NAME, _OTHER_ADDRESS}:
            return f"the certificate of the broker is for another name ({error.verify_message}); check kafka.bootstrap"
        check = f"check kafka.ca_file = {settings.ca_file!r}" if settings.ca_file else "set kafka.ca_file to the authority that signed it"
        return f"the certificate of the broker is not trusted ({error.verify_message}); {check}"
    if "ALERT" in (error.reason or "") and "CERTIFICATE" in (error.reason or ""):
        if settings.cert_file is None:
            return "it asks for a client certificate; set kafka.cert_file and kafka.key_file"
        return f"it refuses our certificate; check that kafka.cert_file = {settings.cert_file!r} has not expired and is signed by an authority it trusts"
    return f"TLS fails ({error.reason}); check {_protocol(settings)}"
