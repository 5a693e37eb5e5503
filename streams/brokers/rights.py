# pyright: reportIncompatibleMethodOverride=false, reportAssignmentType=false
"""What this login may do on the brokers, as they say themselves: nothing is read or written to find out.

Kafka tells since 2.3 (KIP-430), for topics with the metadata and for groups with their description; aiokafka does not ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import GroupAuthorizationFailedError, IncompatibleBrokerVersion, KafkaError, UnknownTopicOrPartitionError
from aiokafka.protocol.admin import DescribeGroupsRequest_v3, DescribeGroupsResponse_v3
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from routecast.models.config import Kafka
from routecast.streams.brokers.access import ACCESS, Grant, Operation, Role
from routecast.streams.brokers.groups import coordinator_of
from routecast.streams.brokers.kafka import client_options, reach, unreachable

_BITS: Final[dict[Operation, int]] = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
"""Where each operation stands in what brokers answer."""
_UNKNOWN: Final = UnknownTopicOrPartitionError.errno


class _MetadataAnswer(Response):  # type: ignore[misc] # aiokafka has no types
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8")))),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16), ("topic", String("utf-8")), ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16), ("partition", Int32), ("leader", Int32), ("leader_epoch", Int32), ("replicas", Array(Int32)),
                        ("isr", Array(Int32)), ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("cluster_operations", Int32),
    )  # fmt: skip


class _MetadataQuestion(RequestStruct):  # type: ignore[misc] # aiokafka has no types
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataAnswer
    SCHEMA = Schema(("topics", Array(String("utf-8"))), ("create", Boolean), ("cluster_operations", Boolean), ("topic_operations", Boolean))


class _GroupsQuestion(DescribeGroupsRequest_v3):  # type: ignore[misc] # aiokafka has no types
    RESPONSE_TYPE = DescribeGroupsResponse_v3


class _Asked(NamedTuple):
    """A question in one version, as connections of aiokafka take it."""

    question: RequestStruct

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> RequestStruct:
        """The question, for a broker that understands these versions. Raises IncompatibleBrokerVersion."""
        lowest, highest = versions.get(self.question.API_KEY, (0, -1))
        if not lowest <= self.question.API_VERSION <= highest:
            raise IncompatibleBrokerVersion("the broker is older than Kafka 2.3: it does not tell what a login may do")
        return self.question


class Node(NamedTuple):
    """A broker as the cluster advertises it."""

    id: int
    host: str
    port: int


class Rights(NamedTuple):
    """What a login may do, by full name; what may not even be seen is missing, what does not exist is not judged."""

    topics: dict[str, frozenset[Operation]]
    groups: dict[str, frozenset[Operation]]

    def lacks(self, settings: Kafka, role: Role) -> list[tuple[Grant, list[str]]]:
        """Of what a role needs: grants that are incomplete, each with the names for which it is."""
        found: list[tuple[Grant, list[str]]] = []
        for grant in ACCESS[role]:
            allowed = self.topics if grant.resource == "topic" else self.groups
            short = [name for name in grant.names if not frozenset(grant.operations) <= allowed.get(settings.prefix + name, frozenset())]
            if short:
                found.append((grant, short))
        return found


async def nodes(settings: Kafka) -> list[Node]:
    """All brokers, under the addresses that they tell clients to use; asked at the configured address alone. Raises Unreachable, ConfigError."""
    await reach(settings)
    options = client_options(settings)
    for host, port, _ in collect_hosts(options.pop("bootstrap_servers")):
        try:
            connection: Any = await create_conn(host, port, **options)
        except (KafkaError, OSError):
            continue
        try:
            answer = await connection.send(_Asked(_metadata([])))
        except (KafkaError, OSError) as error:
            raise unreachable(settings, error) from error
        finally:
            await connection.close()
        return [Node(id_, host, port) for id_, host, port, _ in answer.brokers]
    raise unreachable(settings, ConnectionError())


async def rights(client: AIOKafkaAdminClient, topics: Sequence[str], groups: Sequence[str]) -> Rights:
    """What the login of this client may do to these topics and groups."""
    answer = await _ask(client, _metadata(topics))
    return Rights(
        topics={name: frozenset(_BITS) if code == _UNKNOWN else _operations(bits) for code, name, *_, bits in answer.topics if code in {0, _UNKNOWN}},
        groups={name: await _group(client, name) for name in groups},
    )


async def _group(client: AIOKafkaAdminClient, name: str) -> frozenset[Operation]:
    try:
        coordinator = await coordinator_of(client, name)
    except GroupAuthorizationFailedError:
        return frozenset()
    answer = await _ask(client, _GroupsQuestion(groups=[name], include_authorized_operations=True), coordinator)
    code, *_, bits = answer.groups[0]
    return frozenset() if code else _operations(bits)


def _operations(bits: int) -> frozenset[Operation]:
    return frozenset(operation for operation, place in _BITS.items() if bits >> place & 1)


def _metadata(topics: Sequence[str]) -> RequestStruct:
    """Asking makes no topic."""
    return _MetadataQuestion(topics=list(topics), create=False, cluster_operations=False, topic_operations=True)


async def _ask(client: AIOKafkaAdminClient, question: RequestStruct, node: int | None = None) -> Any:
    inner: Any = client._client  # noqa: SLF001 - it offers no way to ask what it does not know
    return await inner.send(inner.get_random_node() if node is None else node, _Asked(question))
