"""What each kind of program may do on the brokers, and nothing more: the one table behind `routecast access` and docs/kafka.md."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, get_args

from aiokafka.errors import GroupAuthorizationFailedError, GroupCoordinatorNotAvailableError

from routecast.models.access import Rule, Rules
from routecast.models.config import Kafka
from routecast.models.errors import CheckFailed
from routecast.streams.brokers.admin import administrator
from routecast.streams.topics import ALL, CONTROL, DEADLETTER, DETAILS, EVENTS, INSIGHTS, METRICS, PANES, SCORES, STATE, TICKS, TRIPS, VITALS

Role = Literal["emitter", "router", "worker", "sink", "operator"]
Operation = Literal["Read", "Write", "Describe", "DescribeConfigs", "Create"]

WORKERS: Final = "worker"
"""The consumer group of the workers, without the prefix."""
SINK: Final = "sink"
"""The group under which the sink commits what is stored."""
NOTIFY: Final = "notify"
"""The consumer group of the workers that tell of alerts, one at a time."""


class Grant(NamedTuple):
    """Operations on some topics, or on the consumer groups of these names. Read and Write include Describe."""

    operations: tuple[Operation, ...]
    names: tuple[str, ...]
    """Without the configured prefix."""
    resource: Literal["topic", "group"] = "topic"


ROLES: Final[tuple[Role, ...]] = get_args(Role)

ACCESS: Final[Mapping[Role, tuple[Grant, ...]]] = {
    "emitter": (Grant(("Write",), (EVENTS, CONTROL)),),
    "router": (Grant(("Read",), (SCORES, DETAILS)), Grant(("Write",), (TRIPS,))),
    "worker": (
        Grant(("Read",), (EVENTS, TRIPS)),
        Grant(("Read", "Write"), (PANES, METRICS, INSIGHTS, STATE, CONTROL, TICKS)),
        Grant(("Write",), (SCORES, DETAILS, VITALS, DEADLETTER)),
        Grant(("Read",), (WORKERS, NOTIFY), "group"),
    ),
    "sink": (
        Grant(("Read",), (METRICS, SCORES, INSIGHTS, CONTROL, EVENTS, VITALS)),
        Grant(("Write",), (DEADLETTER,)),
        Grant(("Read",), (SINK,), "group"),
    ),
    "operator": (
        Grant(("Create", "DescribeConfigs", "Read"), ALL),
        Grant(("Write",), (CONTROL,)),
        Grant(("Describe",), (WORKERS, NOTIFY, SINK), "group"),
    ),
}
"""By role. A process that routes needs `router` and, for its reports, `emitter`."""


async def check_workers_group(settings: Kafka, name: str = WORKERS) -> None:
    """Whether this login may be a worker of this group: Kafka's clients wait for ever, without a word, where it may not.

    Raises Unreachable, CheckFailed.
    """
    group = settings.prefix + name
    async with administrator(settings) as client:
        try:
            await client.find_coordinator(group)
        except GroupAuthorizationFailedError:
            raise CheckFailed(
                f"this login may not use the consumer group {group!r}: `routecast access --role worker --user NAME` prints what allows it"
            ) from None
        except GroupCoordinatorNotAvailableError:
            return  # of the first group of a new cluster, for a moment


def rules(settings: Kafka, roles: Sequence[Role], user: str) -> Rules:
    """What these roles need under this prefix, and the commands that give it to a user of these brokers."""
    return Rules(rules=tuple(_rule(settings, role, grant, user) for role in roles for grant in ACCESS[role]))


def _rule(settings: Kafka, role: Role, grant: Grant, user: str) -> Rule:
    names = tuple(settings.prefix + name for name in grant.names)
    options = [part for operation in grant.operations for part in ("--operation", operation)]
    options += [part for name in names for part in (f"--{grant.resource}", name)]
    tool = ["kafka-acls.sh", "--bootstrap-server", settings.bootstrap, "--command-config", "admin.properties"]
    command = shlex.join([*tool, "--add", "--allow-principal", f"User:{user}", *options])
    return Rule(role=role, operations=grant.operations, resource=grant.resource, names=names, command=command)
