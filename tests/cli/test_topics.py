from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiokafka.admin import NewTopic

from routecast.models.config import Kafka
from routecast.streams.brokers.admin import administrator, create_topics
from routecast.streams.topics import ALL

Command = Callable[..., Any]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


def test_create_says_what_it_made_and_then_that_there_is_nothing_to_make(routecast: Command, kafka: Kafka) -> None:
    """Running it again is harmless."""
    first, second = routecast("topics", "create", "--plain"), routecast("topics", "create")
    assert (first.returncode, first.stderr) == (0, "")
    assert [line.split("\t")[0] for line in first.stdout.splitlines()] == ["made", *(kafka.prefix + topic for topic in ALL)]
    assert (second.returncode, second.stdout) == (0, "all topics exist: nothing to make\n")


def test_a_dry_run_only_says_what_would_be_made(routecast: Command) -> None:
    """Afterwards everything is missing still."""
    shown = routecast("topics", "create", "--dry-run", "--json")
    made = json.loads(shown.stdout)
    assert (shown.returncode, made["dry_run"], [shape["topic"] for shape in made["made"]]) == (0, True, list(ALL))
    assert routecast("topics", "list", "--plain").stdout.count("\tmissing") == len(ALL)


def test_list_shows_partitions_copies_records_and_settings(routecast: Command, kafka: Kafka, run: Run) -> None:
    """In words, and in full as JSON."""
    run(create_topics(kafka))
    shown = routecast("topics", "list", "--plain")
    assert (shown.returncode, shown.stderr) == (0, "")
    rows = {row[0].removeprefix(kafka.prefix): row[1:] for row in (line.split("\t") for line in shown.stdout.splitlines())}
    assert rows["panes"] == ["4", "1", "0", "compact, lag 10 min, ≤ 8 MiB, LogAppendTime", "ok"]
    assert rows["insights"] == ["1", "1", "0", "compact,delete, kept 30 d, lag 1 h, ≤ 8 MiB, LogAppendTime", "ok"]
    states = {state["topic"]: state for state in json.loads(routecast("topics", "list", "--json").stdout)["topics"]}
    assert states["panes"]["settings"]["min.compaction.lag.ms"] == "600000"


def test_check_is_content_with_what_create_made(routecast: Command, kafka: Kafka, run: Run) -> None:
    """Exit code 0 and one line."""
    run(create_topics(kafka))
    shown = routecast("topics", "check")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, f"ok: 12 topics at {kafka.bootstrap} are as they must be\n", "")


@pytest.mark.parametrize("form", [(), ("--plain",), ("--json",)])
def test_check_names_every_difference_and_what_mends_it(routecast: Command, kafka: Kafka, run: Run, form: tuple[str, ...]) -> None:
    """Exit code 5; the differences are data, the verdict is not."""

    async def make() -> None:
        async with administrator(kafka) as client:
            await client.create_topics([NewTopic(f"{kafka.prefix}panes", 2, 1), NewTopic(f"{kafka.prefix}ticks", 1, 1)])
        await create_topics(kafka.model_copy(update={"prefix": f"{kafka.prefix}later."}))  # by then the broker knows of them

    run(make())
    shown = routecast("topics", "check", *form)
    assert shown.returncode == 5
    assert shown.stderr == f"routecast: 12 of 12 topics at {kafka.bootstrap} are not as they must be: mend them as listed\n"
    assert shown.stdout.count("does not exist") == 10
    assert "message.timestamp.type is CreateTime, not LogAppendTime" in shown.stdout
    mend = f"kafka-configs.sh --bootstrap-server {kafka.bootstrap} --alter --entity-type topics --entity-name {kafka.prefix}ticks --add-config "
    assert f"{mend}message.timestamp.type=LogAppendTime" in shown.stdout


def test_brokers_that_are_not_there_are_one_sentence(routecast: Command) -> None:
    """Exit code 4 at once; nothing of what the client library says."""
    shown = routecast("topics", "list", "--kafka", "kafka://127.0.0.1:1")
    assert (shown.returncode, shown.stdout) == (4, "")
    assert shown.stderr == "routecast: Kafka at '127.0.0.1:1' cannot be reached: nothing listens there; check that Kafka is running, and kafka.bootstrap\n"


def test_a_server_that_never_answers_is_given_up_within_ten_seconds(routecast: Command) -> None:
    """Whoever waits is told what to check."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        before_s = time.monotonic()
        shown = routecast("topics", "check", "--kafka", f"kafka://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - before_s < 10 + 2  # and what a busy machine takes to start Python
    assert (shown.returncode, shown.stdout, shown.stderr.count("\n")) == (4, "", 1)
    assert "cannot be reached" in shown.stderr
