"""The commands of docker-compose.yml as processes of this machine: containers are all that is left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from routecast.models.config import Influx, Kafka
from routecast.streams.configuration import load_config

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from grafana_queries import asked, everything, queries, substituted

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


QUIET = {"Targets in trouble", "Alerts", "Forced decisions by reason", "No plain draws"}
"""Panels without rows while all is well."""


def _empty_panels(influx: Influx, token: str) -> set[str]:
    """Of three dashboards, what shows nothing of the last minutes, with what people choose who choose nothing."""
    fleet, end_ms = load_config(ROOT / "examples" / "demo.toml", {}).model_copy(update={"influx": influx}), int(time.time() * 1000)
    boards = {"routecast-overview", "routecast-routing", "routecast-pipeline"}
    asking = [query for query in queries(fleet) if query.file in boards and query.kind not in {"annotation", "rule"} and query.where not in QUIET]
    return {one.name for one in asking if not asked(influx, token, substituted(one.text, everything(fleet), end_ms=end_ms, range_s=600))}


class Containers:
    """Starts services of the file with what it says of them; addresses and places are those of this machine."""

    def __init__(self, folder: Path, kafka: Kafka, store: Any, url: str) -> None:
        self._folder = folder
        self._moved = {
            "kafka:9092": kafka.bootstrap, "http://influxdb:8086": url, "/etc/routecast.toml": str(ROOT / "examples" / "demo.toml"),
            "/run/secrets/": f"{folder}/", "/var/lib/routecast/": f"{folder}/", "/tmp/ready": f"{folder}/ready",
        }  # fmt: skip
        self._own = {
            "ROUTECAST_KAFKA__PREFIX": kafka.prefix, "ROUTECAST_INFLUX__ORGANISATION": store.settings.organisation,
            "ROUTECAST_INFLUX__BUCKET_PREFIX": store.settings.bucket_prefix,
        }  # fmt: skip
        self.running: list[subprocess.Popen[bytes]] = []

    def run(self, name: str) -> str:
        """A service that ends; what it says."""
        done = subprocess.run(self._command(name), capture_output=True, text=True, env=self._environment(name), timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, name: str) -> None:
        """A service that stays; it logs into a file of its name."""
        with (self._folder / f"{name}.log").open("wb") as out:
            self.running.append(subprocess.Popen(self._command(name), stdout=out, stderr=subprocess.STDOUT, env=self._environment(name)))

    def _command(self, name: str) -> list[str]:
        return [sys.executable, "-m", "routecast.cli", *(self._here(word, name) for word in SERVICES[name]["command"])]

    def _environment(self, name: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ROUTECAST_")}
        return kept | {key: self._here(value, name) for key, value in SERVICES[name]["environment"].items()} | self._own

    def _here(self, text: str, name: str) -> str:
        for there, here in self._moved.items():
            text = text.replace(there, f"{here}-{name}" if there == "/tmp/ready" else here)
        return text


@pytest.fixture
def containers(tmp_path: Path, kafka: Kafka, empty_store: Any, influx: Any) -> Iterator[Containers]:
    """With the secret of an administrator, as `make up` would have made it; everything ends with the test."""
    for folder in ("access", "grafana"):
        (tmp_path / folder).mkdir()
    (tmp_path / "influx-admin").write_text(influx.token)
    made = Containers(tmp_path, kafka, empty_store, influx.url)
    yield made
    for process in made.running:
        process.terminate()  # a worker that is killed leaves its processes behind
    for process in made.running:
        process.wait(60)


@pytest.mark.timeout(240)
def test_the_fleet_of_the_compose_file_stores_what_happens(
    containers: Containers, tmp_path: Path, empty_store: Any, eventually: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its order: topics, buckets and tokens, worker, sink, dashboards, traffic; then panels show it to whoever may read, and only read."""
    for name in ("topics", "storage", "dashboards"):
        containers.run(name)
    for name in ("worker", "sink"):
        containers.start(name)
    for name in ("worker", "sink"):
        eventually((tmp_path / f"ready-{name}").exists, within_s=60)
    containers.start("demo")
    monkeypatch.setattr(empty_store, "token", (tmp_path / "access" / "read").read_text().strip())
    wanted = 'BUCKET(7d) |> filter(fn: (r) => r._measurement == "provider_window" and r._field == "requests" and r.target != "_all") |> group() |> sum()'

    def stored() -> bool:
        found = empty_store.query(wanted)
        return bool(found) and int(found[0]["_value"]) > 0

    eventually(stored, within_s=90)
    eventually(lambda: _empty_panels(empty_store.settings, empty_store.token) == set(), within_s=60)
    with pytest.raises(urllib.error.HTTPError, match=r"40[134]"):
        empty_store.ask("POST", f"/api/v2/write?org={empty_store.settings.organisation}&bucket={empty_store.settings.bucket_prefix}7d")
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].replace("/var/lib/routecast", str(tmp_path))
    assert json.loads(Path(home).read_text())["panels"]
    provider = yaml.safe_load((tmp_path / "grafana" / "provisioning" / "dashboards" / "routecast.yaml").read_text())["providers"][0]
    assert Path(home).parent == Path(provider["options"]["path"])
    assert [process.poll() for process in containers.running] == [None] * 3
