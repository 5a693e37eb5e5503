"""How every client reaches Kafka: addresses, TLS and login from the configuration, in the words of aiokafka."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.helpers import create_ssl_context

from routecast.models.config import Config, Kafka
from routecast.models.errors import ConfigError, Unreachable
from routecast.streams.topics import Topic


def addressed(config: Config, url: str | None) -> Config:
    """The configuration with the brokers of a `kafka://host[:port][,host…]` URL. Raises ConfigError for another URL."""
    if url is None:
        return config
    parts = urlsplit(url)
    if parts.scheme != "kafka" or not parts.netloc or parts.path.strip("/"):
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
        context: ssl.SSLContext = create_ssl_context(cafile=settings.ca_file, certfile=settings.cert_file, keyfile=settings.key_file)
    except (OSError, ssl.SSLError) as error:
        named = ", ".join(f"{key} = {value!r}" for key, value in settings if key in {"ca_file", "cert_file", "key_file"} and value)
        raise ConfigError(f"kafka: TLS cannot be set up from {named}: {error}") from error
    return context


def password(settings: Kafka) -> str:
    """The password in its file. Raises ConfigError where it cannot be read."""
    try:
        return Path(settings.password_file or "").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"kafka.password_file = {settings.password_file!r} cannot be read: {error}") from error


def client_options(settings: Kafka) -> dict[str, Any]:
    """Keywords for any aiokafka client. Raises ConfigError for files that cannot be used."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap.split(","), "security_protocol": settings.security_protocol, "ssl_context": ssl_context(settings),
    }  # fmt: skip
    if settings.security_protocol.startswith("SASL"):
        options |= {"sasl_mechanism": settings.sasl_mechanism, "sasl_plain_username": settings.username, "sasl_plain_password": password(settings)}
    return options


def unreachable(settings: Kafka, error: BaseException) -> Unreachable:
    """What to tell a person when no broker answers."""
    hint = "is Kafka running there, and is security_protocol right?" if not isinstance(error, KafkaError) or isinstance(error, KafkaConnectionError) else ""
    return Unreachable(f"Kafka at {settings.bootstrap!r} cannot be reached ({error}): {hint or 'check address, protocol and login in [kafka]'}")
