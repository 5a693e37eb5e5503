from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from routecast.models.config import Kafka
from routecast.streams.brokers.access import ACCESS, ROLES, rules
from routecast.streams.topics import ALL, SPECS, Topic

ROOT = Path(__file__).parents[3]
EXAMPLE = str(ROOT / "examples" / "routecast.toml")
PAGE = (ROOT / "docs" / "kafka.md").read_text()


def _access(*arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROUTECAST_")}
    command = [sys.executable, "-m", "routecast.cli", "access", "--config", EXAMPLE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=kept, timeout=60, check=False)


def _rows(heading: str) -> list[str]:
    """The rows of the last table below a heading, without its head."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


def test_the_page_says_what_each_role_may_do() -> None:
    """The table of docs/kafka.md is the one in the code."""
    found = rules(Kafka(), ROLES, "NAME").rules
    assert _rows("What each program may do") == [
        f"| {rule.role} | {', '.join(rule.operations)} | {rule.resource} {', '.join(f'`{name}`' for name in rule.names)} |" for rule in found
    ]


def test_the_page_says_what_topics_there_are() -> None:
    """Partitions, retention, and who reads and writes, from specifications and rules."""
    assert _rows("Topics") == [_topic_row(topic) for topic in ALL]


def _topic_row(topic: Topic) -> str:
    spec = SPECS[topic]
    partitions = "`kafka.partitions`" if spec.partitioned else f"{spec.partitions}"
    newest = ["newest of each key"] * ("compact" in spec.configs["cleanup.policy"])
    kept = ", ".join([*newest, *(f"{int(ms) // 86_400_000} d" for key, ms in spec.configs.items() if key == "retention.ms")])
    return f"| `{topic}` | {partitions} | {kept} | {_roles('Write', topic)} | {_roles('Read', topic)} |"


def _roles(operation: str, topic: Topic) -> str:
    granted = {role for role in ROLES for grant in ACCESS[role] if grant.resource == "topic" and topic in grant.names and operation in grant.operations}
    return ", ".join(role for role in ROLES if role in granted) or "–"


def test_a_worker_can_at_least_see_every_topic() -> None:
    """It looks for missing topics when it starts; one that it may not see would look missing."""
    assert {name for grant in ACCESS["worker"] if grant.resource == "topic" for name in grant.names} == set(ALL)


def test_a_worker_may_read_what_an_election_looks_at() -> None:
    """All that a recording holds, and the rows it begins with."""
    readable = {name for grant in ACCESS["worker"] if grant.resource == "topic" and "Read" in grant.operations for name in grant.names}
    assert readable >= {"state", "ticks", "control", "trips", "events", "panes"}


def test_the_commands_on_the_page_are_what_is_printed() -> None:
    """For an application that routes and reports."""
    printed = _access("--role", "router", "--role", "emitter", "--user", "chat-frontend")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert f"--user chat-frontend\n{printed.stdout}```" in PAGE


def test_names_that_a_shell_would_split_are_quoted() -> None:
    """Subjects of certificates have blanks and commas."""
    printed = _access("--role", "router", "--user", "CN=chat front end,O=Example").stdout
    assert "--allow-principal 'User:CN=chat front end,O=Example' --operation" in printed


def test_rules_are_for_programs_too() -> None:
    """As JSON, under the prefix of the configuration."""
    found = json.loads(_access("--role", "emitter", "--json").stdout)["rules"]
    assert [(rule["role"], rule["operations"], rule["names"]) for rule in found] == [("emitter", ["Write"], ["routecast.events", "routecast.control"])]


def test_an_unknown_role_is_a_mistake_of_usage() -> None:
    """Exit code 2 and the roles there are."""
    ran = _access("--role", "emiter")
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", "routecast: no role emiter; there are emitter, router, worker, sink, operator\n")
