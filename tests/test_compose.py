from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from routecast.cli.keys import keys
from routecast.dashboards.grafana.provisioning import VARIABLES
from routecast.dashboards.influx.schema import RETENTION_S
from routecast.models.config import Influx, Kafka
from routecast.servers import influxd
from routecast.servers.kafka import VERSION, LocalBroker, free_ports
from routecast.streams.configuration import load_config

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
SERVERS = ("kafka", "worker", "influxdb", "sink", "grafana")
ONCE = ("topics", "storage", "dashboards")
MOUNTED = "/etc/routecast.toml"
NO_PROPERTY = {"KAFKA_HEAP_OPTS"}
"""Variables that the scripts of the image read themselves."""


def _property(variable: str) -> str:
    """The setting of the broker behind a variable of its image."""
    return variable.removeprefix("KAFKA_").lower().replace("_", ".")


PROPERTIES = {_property(name): str(value) for name, value in SERVICES["kafka"]["environment"].items() if name not in NO_PROPERTY}


def _default(text: str) -> str:
    """A text with the defaults of its variables in place."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_of_ours(name: str) -> None:
    """Its options exist; `--help` at the end has the command line read all of them and do nothing."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ROUTECAST_")}
    command = [sys.executable, "-m", "routecast.cli", *SERVICES[name]["command"], "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, env=kept, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    options = {word for word in SERVICES[name]["command"] if word.startswith("--")}
    assert {option for option in options if option not in ran.stdout} == set()


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_key_of_the_configuration(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt one would stop the program; the mounted file is valid with all of them."""
    environment: dict[str, str] = SERVICES[name]["environment"]
    known = {f"ROUTECAST_{item.key.upper().replace('.', '__')}" for item in keys()}
    assert set(environment) <= known
    mount = SERVICES[name]["volumes"][0]
    assert (mount["type"], mount["target"], mount["read_only"]) == ("bind", MOUNTED, True)
    assert MOUNTED in SERVICES[name]["command"]
    monkeypatch.chdir(ROOT)
    config = load_config(Path(_default(mount["source"])), environment)
    assert config.kafka.bootstrap == "kafka:9092"
    assert config.kafka.replication == 1, "there is one broker"


def test_the_broker_is_the_version_that_is_tested() -> None:
    """In the container, and as jars on this machine."""
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{VERSION}"
    assert (ROOT / "src" / "routecast" / "data" / "kafka.pom.xml").read_text().count(f"<version>{VERSION}</version>") == 2


def test_every_version_is_pinned() -> None:
    """An image without a tag, or `latest`, would be another one tomorrow."""
    (inline,) = {service["build"]["dockerfile_inline"] for service in OURS.values()}
    base = re.search(r"^FROM (\S+)$", inline, re.MULTILINE)
    assert base is not None
    for image in (base[1], *(service["image"] for name, service in SERVICES.items() if name not in OURS)):
        assert re.search(r":\d+\.\d+\.\d+", image), image
    python = tuple(map(int, re.findall(r"\d+", base[1])[:2]))
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert python >= tuple(map(int, re.findall(r"\d+", required)))


def test_the_image_is_built_from_what_is_here() -> None:
    """Every copied file exists, every package is copied, every extra exists."""
    (inline,) = {service["build"]["dockerfile_inline"] for service in OURS.values()}
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", inline, re.MULTILINE) for word in line.split()]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {path.split("/")[0] for path in project["tool"]["setuptools"]["package-dir"].values()} <= set(copied)
    extras = re.search(r"'\.\[(.*)\]'", inline)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(project["project"]["optional-dependencies"])
    assert "$" not in inline, "compose would read it as a variable"


def test_the_broker_is_set_up_like_the_one_of_the_tests(tmp_path: Path) -> None:
    """Whatever both say, they say alike, but for names of listeners, addresses and places."""
    own = dict(line.split("=", 1) for line in LocalBroker(tmp_path)._configure().read_text().splitlines())
    places = {"listeners", "advertised.listeners", "listener.security.protocol.map", "inter.broker.listener.name", "controller.quorum.voters", "log.dirs"}
    both = (own.keys() & PROPERTIES.keys()) - places
    assert PROPERTIES.keys() <= own.keys(), "Kafka would not complain of a misspelt setting"
    assert {key: PROPERTIES[key] for key in both} == {key: own[key] for key in both}


@pytest.mark.usefixtures("broker_tools")
def test_a_broker_starts_with_these_settings(tmp_path: Path) -> None:
    """Kafka itself checks how listeners, roles and voters fit together; only ports and folder are others here."""
    fleet, controller, host = free_ports(3)
    moved = PROPERTIES["listeners"].replace(":9092", f":{fleet}").replace(":9093", f":{controller}").replace(":19092", f":{host}")
    voters = PROPERTIES["controller.quorum.voters"].replace(":9093", f":{controller}")
    settings = PROPERTIES | {"listeners": moved, "controller.quorum.voters": voters, "log.dirs": str(tmp_path / "broker" / "data")}
    with LocalBroker(tmp_path / "broker", properties=settings) as broker:
        assert broker.pid is not None


def test_ports_are_open_to_this_machine_alone() -> None:
    """There are no logins; the default configuration finds the broker."""
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published == ["127.0.0.1:9092:19092", "127.0.0.1:${INFLUX_PORT:-8086}:8086", "127.0.0.1:${GRAFANA_PORT:-3000}:3000"]
    listeners = dict(part.split("://") for part in PROPERTIES["listeners"].split(","))
    advertised = dict(part.split("://") for part in PROPERTIES["advertised.listeners"].split(","))
    assert listeners["HOST"].endswith(":19092")
    assert advertised == {"HOST": Kafka().bootstrap, "FLEET": OURS["worker"]["environment"]["ROUTECAST_KAFKA__BOOTSTRAP"]}


def test_what_the_broker_keeps_outlives_its_container() -> None:
    """Its data folder is a named volume."""
    (volume,) = SERVICES["kafka"]["volumes"]
    assert volume.split(":")[1] == PROPERTIES["log.dirs"]


def test_every_volume_has_a_name_and_a_use() -> None:
    """Nothing is lost with a container; nothing is kept that nobody reads."""
    named = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", ()) if isinstance(mount, str)]
    assert set(named) == set(COMPOSE["volumes"])


def test_one_program_writes_what_others_read() -> None:
    """Who may read and write InfluxDB is told by `storage` alone, what Grafana shows by `dashboards`."""
    writers: dict[str, list[str]] = {}
    for name, service in SERVICES.items():
        for mount in service.get("volumes", ()):
            if isinstance(mount, str) and not mount.endswith(":ro"):
                writers.setdefault(mount.split(":")[0], []).append(name)
    assert (writers["access"], writers["grafana-files"]) == (["storage"], ["dashboards"])
    owned = SERVICES["storage"]["build"]["dockerfile_inline"]
    assert {mount.split(":")[1] for name in ONCE for mount in SERVICES[name]["volumes"] if isinstance(mount, str)} <= set(owned.split())


def test_grafana_may_read_what_ours_wrote() -> None:
    """It runs as the user of our image, whose files are for that user alone."""
    made = re.search(r"useradd --system --uid (\d+) routecast", SERVICES["storage"]["build"]["dockerfile_inline"])
    assert made is not None
    assert SERVICES["grafana"]["user"] == made[1]


def test_grafana_is_told_what_its_files_ask_for() -> None:
    """Every variable of the exported data source has a value, and the files are looked for where they are written."""
    grafana, written = SERVICES["grafana"], SERVICES["dashboards"]["command"][2]
    told = set(grafana["environment"]) | set(re.findall(r"export (\w+)=", grafana["entrypoint"][-1]))
    assert set(VARIABLES) <= told
    assert grafana["environment"]["INFLUX_BUCKET"].removeprefix(Influx().bucket_prefix) in RETENTION_S
    assert grafana["environment"]["INFLUX_ORGANISATION"] == SERVICES["influxdb"]["environment"]["DOCKER_INFLUXDB_INIT_ORG"] == Influx().organisation
    assert grafana["environment"]["INFLUX_URL"] == OURS["sink"]["environment"]["ROUTECAST_INFLUX__URL"]
    assert grafana["environment"]["GF_PATHS_PROVISIONING"] == f"{written}/provisioning"
    read = re.search(r"cat (\S+)\)", grafana["entrypoint"][-1])
    assert read is not None
    assert read[1] == OURS["storage"]["environment"]["ROUTECAST_INFLUX__READ_TOKEN_FILE"]


def test_influxdb_is_the_version_that_is_tested() -> None:
    """In the container, and as it is built on this machine."""
    assert SERVICES["influxdb"]["image"] == f"influxdb:{influxd.VERSION}"


@pytest.mark.parametrize("name", SERVERS)
def test_servers_are_watched(name: str) -> None:
    """With a bound on every attempt, and time to start."""
    assert SERVICES[name]["healthcheck"].keys() == {"test", "interval", "timeout", "retries", "start_period"}
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", ["worker", "sink"])
def test_ours_are_healthy_once_they_say_they_are_ready(name: str) -> None:
    """The file of the probe is the one that is written, in a place that may be written to."""
    service = SERVICES[name]
    file = service["command"][service["command"].index("--ready-file") + 1]
    assert service["healthcheck"]["test"][-1] == file
    assert Path(file).parent.as_posix() in service["tmpfs"]


def test_everything_waits_for_what_it_needs() -> None:
    """Topics for the broker, workers for the topics, traffic for the workers; a server can only be awaited where it is watched."""
    needs = {name: {other: how["condition"] for other, how in service.get("depends_on", {}).items()} for name, service in SERVICES.items()}
    assert needs == {
        "kafka": {},
        "topics": {"kafka": "service_healthy"},
        "worker": {"kafka": "service_healthy", "topics": "service_completed_successfully"},
        "influxdb": {},
        "storage": {"influxdb": "service_healthy"},
        "sink": {"topics": "service_completed_successfully", "storage": "service_completed_successfully"},
        "dashboards": {},
        "grafana": {"storage": "service_completed_successfully", "dashboards": "service_completed_successfully"},
        "demo": {"worker": "service_healthy"},
    }
    awaited = {other for conditions in needs.values() for other, condition in conditions.items() if condition == "service_healthy"}
    assert awaited <= set(SERVERS)


def test_everything_starts_again_but_what_runs_once() -> None:
    """And has time to stop in good order."""
    assert {name for name, service in SERVICES.items() if service["restart"] == "no"} == set(ONCE)
    assert {service["restart"] for name, service in SERVICES.items() if name not in ONCE} == {"unless-stopped"}
    assert [name for name, service in SERVICES.items() if service["restart"] != "no" and "stop_grace_period" not in service] == []


def test_our_containers_have_no_rights_they_do_not_need() -> None:
    """No capabilities, no new privileges, nothing to write to but memory, no root."""
    for service in OURS.values():
        assert (service["read_only"], service["cap_drop"], service["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"])
        assert "\nUSER routecast\n" in service["build"]["dockerfile_inline"]


def test_there_is_traffic_only_where_it_is_asked_for() -> None:
    """`make up` alone must not invent requests among those of real applications."""
    assert {name: service.get("profiles") for name, service in SERVICES.items() if "profiles" in service} == {"demo": ["demo"]}


def test_there_is_no_secret_in_it() -> None:
    """Secrets are files that `make up` makes and git does not see; wherever one is named, it is by its path."""
    secrets = {name: secret["file"].removeprefix("./") for name, secret in COMPOSE["secrets"].items()}
    made = re.search(r"^SECRETS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert made is not None
    assert set(made[1].split()) == set(secrets.values())
    assert {Path(file).parent.as_posix() + "/" for file in secrets.values()} <= set((ROOT / ".gitignore").read_text().splitlines())
    given = {f"/run/secrets/{secret}" for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert given == {f"/run/secrets/{name}" for name in secrets}
    for service in SERVICES.values():
        for key, value in service["environment"].items() if "environment" in service else ():
            if re.search(r"(?i)password|token|secret|credential", key):
                assert str(value).startswith(("/run/secrets/", "/var/lib/routecast/access/")), key
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / ".env.example").read_text()
    assert re.findall(r"\b(?=\w*\d)(?=\w*[a-z])\w{20,}\b", text) == []


def test_every_setting_of_the_example_is_one() -> None:
    """What `.env.example` names, the file or Compose itself reads."""
    named = re.findall(r"^# (\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    read = set(re.findall(r"\$\{(\w+):-", (ROOT / "docker-compose.yml").read_text()))
    assert set(named) == read | {"COMPOSE_PROFILES"}
