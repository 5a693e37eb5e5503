from __future__ import annotations

import shlex
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from routecast.models.config import Kafka
from routecast.models.errors import CheckFailed
from routecast.models.topics import Difference, TopicState
from routecast.servers.kafka import LocalBroker, run_tool
from routecast.streams.brokers.admin import _known, administrator, create_topics, topics, with_records
from routecast.streams.topics import ALL, SPECS, Topic

Run = Callable[[Coroutine[Any, Any, Any]], Any]

_TOOLS = {
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
}


def _type(command: str) -> None:
    """Run a command as a person would who reads it."""
    program, *arguments = shlex.split(command, comments=True)
    run_tool(_TOOLS[program], *arguments)


async def _make(kafka: Kafka, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None) -> None:
    async with administrator(kafka) as client:
        await client.create_topics([NewTopic(kafka.prefix + name, partitions, 1, topic_configs=dict(configs or {}))])
        await _known(client, [kafka.prefix + name])


def _of(states: list[TopicState], topic: str) -> TopicState:
    return next(state for state in states if state.topic == topic)


def test_missing_topics_are_made_as_specified(kafka: Kafka, run: Run) -> None:
    """Partitions, replication and every setting; nothing is left to mend."""
    settings = kafka.model_copy(update={"partitions": 3})
    assert run(create_topics(settings)) == [f"{kafka.prefix}{topic}" for topic in ALL]
    states = run(topics(settings))
    assert {state.topic: (state.partitions, state.replication) for state in states} == {
        topic: (3 if SPECS[topic].partitioned else SPECS[topic].partitions, 1) for topic in ALL
    }
    assert [(dict(state.settings), state.differences) for state in states] == [(dict(SPECS[topic].configs), ()) for topic in ALL]


def test_making_topics_again_makes_only_what_is_missing(kafka: Kafka, run: Run) -> None:
    """What exists stays as it is, whatever it is like."""
    run(_make(kafka, "ticks", 2))
    assert f"{kafka.prefix}ticks" not in run(create_topics(kafka))
    assert run(create_topics(kafka)) == []
    assert _of(run(topics(kafka)), "ticks").partitions == 2


@pytest.mark.parametrize("there", ["events", "panes"])
def test_events_and_panes_are_made_with_equal_partitions(kafka: Kafka, run: Run, there: Topic) -> None:
    """A table's changelog must have as many partitions as what it is folded from, whatever the configuration says by now."""
    run(_make(kafka, there, 7, SPECS[there].configs))
    run(create_topics(kafka))
    states = run(topics(kafka))
    assert (_of(states, "events").partitions, _of(states, "panes").partitions) == (7, 7)


def test_a_dry_run_names_what_it_would_make_and_makes_nothing(kafka: Kafka, run: Run) -> None:
    """The brokers themselves are asked."""
    assert len(run(create_topics(kafka, dry_run=True))) == len(ALL)
    assert [state.partitions for state in run(topics(kafka))] == [0] * len(ALL)


def test_a_missing_topic_is_a_difference(kafka: Kafka, run: Run) -> None:
    """The command that mends it is ours."""
    assert _of(run(topics(kafka)), "scores").differences == (Difference(what="does not exist", mend="routecast topics create"),)


def test_settings_that_differ_are_named_and_the_command_mends_them(kafka: Kafka, run: Run) -> None:
    """A topic as brokers make it by themselves keeps the time of the sender and is not compacted."""
    run(_make(kafka, "scores"))
    (found,) = _of(run(topics(kafka)), "scores").differences
    assert "cleanup.policy is delete, not compact" in found.what
    assert "message.timestamp.type is CreateTime, not LogAppendTime" in found.what
    _type(found.mend)
    assert _of(run(topics(kafka)), "scores").differences == ()


def test_what_is_kept_longer_or_may_be_larger_is_no_difference(kafka: Kafka, run: Run) -> None:
    """Those settings are the least that is needed."""
    larger = dict(SPECS["events"].configs) | {"retention.ms": "-1", "max.message.bytes": "8388608"}
    smaller = dict(SPECS["insights"].configs) | {"retention.ms": "1000"}
    run(_make(kafka, "events", 4, larger))
    run(_make(kafka, "insights", 1, smaller))
    states = run(topics(kafka))
    assert _of(states, "events").differences == ()
    assert [found.what for found in _of(states, "insights").differences] == ["retention.ms is 1000, not 2592000000"]


def test_too_few_partitions_of_panes_are_named_and_the_command_mends_them(kafka: Kafka, run: Run) -> None:
    """Events of the partitions without a counterpart could not be folded."""
    run(_make(kafka, "panes", 2, SPECS["panes"].configs))
    run(_make(kafka, "events", 4, SPECS["events"].configs))
    states = run(topics(kafka))
    (found,) = _of(states, "panes").differences
    assert found.what == f"has 2 partitions, {kafka.prefix}events has 4: they must be equal"
    assert _of(states, "events").differences == ()
    _type(found.mend)
    assert _of(run(topics(kafka)), "panes").partitions == 4


def test_too_many_partitions_of_panes_are_mended_by_more_of_events(kafka: Kafka, run: Run) -> None:
    """Kafka never takes partitions away."""
    run(_make(kafka, "panes", 3))
    run(_make(kafka, "events", 2))
    assert f"--topic {kafka.prefix}events --partitions 3" in _of(run(topics(kafka)), "panes").differences[0].mend


def test_a_second_partition_of_a_topic_that_has_one_is_a_difference(kafka: Kafka, run: Run) -> None:
    """Nobody would read it."""
    run(_make(kafka, "control", 3, SPECS["control"].configs))
    (found,) = _of(run(topics(kafka)), "control").differences
    assert found.what == "has 3 partitions, not 1: only the first is read"
    assert f"--delete --topic {kafka.prefix}control" in found.mend


def test_closed_windows_in_too_few_partitions_are_told(kafka: Kafka, run: Run) -> None:
    """A topic that was made before there was a partition for each length can be mended without losing anything."""
    run(_make(kafka, "metrics", 1, dict(SPECS["metrics"].configs)))
    (found,) = _of(run(topics(kafka)), "metrics").differences
    assert found.what == "has 1 partitions, not 3"
    assert found.mend == f"kafka-topics.sh --bootstrap-server {kafka.bootstrap} --alter --topic {kafka.prefix}metrics --partitions 3"


def test_fewer_copies_than_configured_are_a_difference(kafka: Kafka, run: Run) -> None:
    """A topic made before the cluster grew."""
    run(create_topics(kafka))
    states = run(topics(kafka.model_copy(update={"replication": 3})))
    assert _of(states, "state").differences[0].what == "has replication 1, kafka.replication is 3"


def test_more_copies_than_brokers_are_refused_with_the_key_to_change(kafka: Kafka, run: Run) -> None:
    """The error names the configuration and every topic."""
    with pytest.raises(CheckFailed, match=r"12 topics cannot be created: InvalidReplicationFactor.*kafka\.replication is 5: lower it"):
        run(create_topics(kafka.model_copy(update={"replication": 5})))


def test_records_are_counted_over_all_partitions(kafka: Kafka, run: Run) -> None:
    """From the beginning that is kept to the end; nothing for a topic that does not exist."""

    async def count() -> list[TopicState]:
        await _make(kafka, "events", 2)
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
            for partition in (0, 0, 1):
                await producer.send_and_wait(f"{kafka.prefix}events", b"{}", partition=partition)
        return await with_records(kafka, await topics(kafka))

    states = run(count())
    assert (_of(states, "events").records, _of(states, "panes").records) == (3, None)


@pytest.fixture(scope="module")
def strict(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker that makes topics by itself for whoever names one, and lets nobody create any on purpose whose prefix is `closed.`."""
    request.getfixturevalue("broker_tools")
    properties = {
        "auto.create.topics.enable": "true",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "super.users": "User:nobody",
    }
    with LocalBroker(tmp_path_factory.mktemp("strict"), properties=properties) as broker:
        acls = f"kafka-acls.sh --bootstrap-server {broker.bootstrap} --add --operation"
        _type(f"{acls} ClusterAction --operation Alter --operation Describe --cluster --allow-principal User:ANONYMOUS")
        _type(f"{acls} Create --topic closed. --resource-pattern-type prefixed --deny-principal User:ANONYMOUS")
        _type(f"{acls} All --topic hidden. --resource-pattern-type prefixed --allow-principal User:ANONYMOUS")
        _type(f"{acls} DescribeConfigs --topic hidden. --resource-pattern-type prefixed --deny-principal User:ANONYMOUS")
        yield Kafka(bootstrap=broker.bootstrap)


def test_asking_for_topics_makes_none(strict: Kafka, run: Run) -> None:
    """Brokers that make topics for whoever names them would give them settings of their own."""
    run(with_records(strict, run(topics(strict))))
    run(create_topics(strict.model_copy(update={"prefix": "later."})))
    assert [state.partitions for state in run(topics(strict))] == [0] * len(ALL)


def test_who_may_not_create_topics_is_told_all_that_has_to_be_made(strict: Kafka, kafka: Kafka, run: Run) -> None:
    """One command for each, and each makes what is needed where it is allowed."""
    with pytest.raises(CheckFailed, match=r"12 topics cannot be created: TopicAuthorizationFailed.*this login may not create topics") as failed:
        run(create_topics(strict.model_copy(update={"prefix": "closed."})))
    commands = [line.strip() for line in str(failed.value).splitlines()[1:]]
    assert [command.split("--topic ")[1].split()[0] for command in commands] == [f"closed.{topic}" for topic in ALL]
    _type(commands[ALL.index("panes")].replace(strict.bootstrap, kafka.bootstrap).replace("closed.", kafka.prefix))
    panes = _of(run(topics(kafka)), "panes")
    assert (panes.partitions, panes.differences) == (4, ())


def test_a_dry_run_says_that_it_would_be_refused(strict: Kafka, run: Run) -> None:
    """Before anybody relies on it."""
    with pytest.raises(CheckFailed, match="this login may not create topics"):
        run(create_topics(strict.model_copy(update={"prefix": "closed."}), dry_run=True))


def test_settings_that_may_not_be_read_are_a_difference(strict: Kafka, run: Run) -> None:
    """Nothing is said to be well that could not be looked at."""
    hidden = strict.model_copy(update={"prefix": "hidden."})
    run(create_topics(hidden))
    assert {found.what for state in run(topics(hidden)) for found in state.differences} == {"its settings may not be read"}


def test_topics_of_another_prefix_do_not_count(kafka: Kafka, run: Run) -> None:
    """Several fleets can share a cluster."""
    run(create_topics(kafka))
    assert not any(state.exists for state in run(topics(kafka.model_copy(update={"prefix": f"{kafka.prefix}other."}))))
