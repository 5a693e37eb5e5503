"""What the commands that talk to Kafka share: their options, and what becomes of its errors: one sentence, soon."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from routecast.models.config import Config, Kafka

Result = TypeVar("Result")

ANSWER_S = 9.5
"""Longest wait for brokers that do not answer, or not for long."""
READ_S = 60.0
"""Longest time for reading a topic from its beginning."""

File = Annotated[Path | None, typer.Option("--config", help="The file; ./routecast.toml by default.")]
Url = Annotated[str | None, typer.Option("--kafka", help="kafka://host:9092[,host:9092…]; [kafka] of the configuration by default.")]
MetricsPort = Annotated[
    int | None, typer.Option(min=1, max=65_535, help="Serve /metrics, /healthz and /readyz at this port; several workers: from this port on.")
]
MetricsHost = Annotated[str, typer.Option(help="Address to serve them at; 0.0.0.0 for others than this machine. Nobody has to log in.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Plain = Annotated[bool, typer.Option("--plain", help="Print text with tabs.")]


def configured(config: Path | None, kafka: str | None) -> Config:
    """The configuration with the brokers of `--kafka`. Raises ConfigError."""
    from routecast.streams.brokers.kafka import addressed  # noqa: PLC0415
    from routecast.streams.configuration import load_config  # noqa: PLC0415 - pydantic is slow to import

    return addressed(load_config(config, os.environ), kafka)


def ask(settings: Kafka, work: Coroutine[Any, Any, Result], *, within_s: float | None = ANSWER_S) -> Result:
    """Run `work` to its end, which talks to these brokers. Raises Unreachable, within 10 s where nothing else is said."""
    from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, NodeNotReadyError  # noqa: PLC0415 - slow to import

    from routecast.models.errors import RoutecastError  # noqa: PLC0415
    from routecast.streams.brokers.kafka import unreachable  # noqa: PLC0415

    quiet()
    try:
        return asyncio.run(_within(work, within_s))
    except (KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, TimeoutError) as error:
        raise unreachable(settings, error) from error
    except KafkaError as error:
        raise RoutecastError(f"Kafka at {settings.bootstrap!r} refuses: {error}: check what this login may do, and `routecast topics check`") from error


def quiet() -> None:
    """Have libraries say nothing: our errors say the same in one sentence."""
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False


async def _within(work: Coroutine[Any, Any, Result], within_s: float | None) -> Result:
    async with asyncio.timeout(within_s):
        return await work
