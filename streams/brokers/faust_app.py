"""Faust as workers use it: its settings from ours, and what its clients inside must do that Faust has no setting for."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import faust

from routecast.models.config import Kafka
from routecast.streams.brokers.kafka import METADATA_MS, pace, password, ssl_context
from routecast.streams.topics import MOST_ROW_BYTES

_REQUEST_S = 90.0


def app_of(settings: Kafka) -> faust.App:
    """The application of a worker, without its agents. Raises ConfigError for files that cannot be used."""
    return faust.App(
        f"{settings.prefix}worker",
        broker=[f"kafka://{host}" for host in settings.bootstrap.split(",")],
        broker_credentials=_credentials(settings),
        broker_session_timeout=settings.session_timeout_ms / 1000.0,
        broker_request_timeout=max(_REQUEST_S, settings.session_timeout_ms / 1000.0 + _REQUEST_S / 2),  # Faust refuses one that is shorter
        broker_heartbeat_interval=settings.session_timeout_ms / 3000.0,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=1 << 20,
        consumer_metadata_max_age_ms=METADATA_MS,
        producer_acks=-1,
        producer_linger=0.02,
        producer_max_batch_size=131_072,
        producer_max_request_size=MOST_ROW_BYTES,
        stream_buffer_maxsize=65_536,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        web_enabled=False,
        worker_redirect_stdouts=False,
        datadir=Path(tempfile.gettempdir()) / "routecast-worker",
    )


def _credentials(settings: Kafka) -> faust.SASLCredentials | faust.SSLCredentials | None:
    context = ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(mechanism=settings.sasl_mechanism, username=settings.username, password=password(settings), ssl_context=context)
    return faust.SSLCredentials(context) if context is not None else None


def pace_clients(app: faust.App) -> None:
    """Have the clients of a started application ask for metadata no more often than ours do; again is as good as once."""
    consumer, producer = app.consumer, app.producer
    clients: list[Any] = [consumer._thread._consumer._client, producer._producer.client]  # type: ignore[attr-defined]  # noqa: SLF001 - Faust shows neither
    for client in clients:
        pace(client)
