"""Fixtures for tests of what is stored in InfluxDB."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from routecast.dashboards.influx.schema import RETENTION_S
from routecast.models.config import Influx


class Server(Protocol):
    """The `influx` fixture."""

    url: str
    organisation: str
    token: str


class Store:
    """Six buckets on a real server, for one test alone."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.settings = Influx(url=server.url, organisation=server.organisation, bucket_prefix=f"test-{uuid.uuid4().hex[:8]}-")
        self.token = server.token
        organisations = self.ask("GET", f"/api/v2/orgs?org={server.organisation}")["orgs"]
        self._organisation_id = organisations[0]["id"]

    def make_buckets(self) -> None:
        """All of the schema."""
        for name, kept_s in RETENTION_S.items():
            rules = [{"type": "expire", "everySeconds": kept_s}] if kept_s else []
            wanted = {"orgID": self._organisation_id, "name": f"{self.settings.bucket_prefix}{name}", "retentionRules": rules}
            self.ask("POST", "/api/v2/buckets", wanted)

    def _buckets(self) -> dict[str, str]:
        """Ids by full name."""
        listed = self.ask("GET", f"/api/v2/buckets?orgID={self._organisation_id}&limit=100")["buckets"]
        return {bucket["name"]: bucket["id"] for bucket in listed if bucket["name"].startswith(self.settings.bucket_prefix)}

    def delete_bucket(self, name: str) -> None:
        """One of them."""
        self.ask("DELETE", f"/api/v2/buckets/{self._buckets()[self.settings.bucket_prefix + name]}")

    def change_retention(self, name: str, kept_s: int) -> None:
        """Of one of them."""
        path = f"/api/v2/buckets/{self._buckets()[self.settings.bucket_prefix + name]}"
        self.ask("PATCH", path, {"retentionRules": [{"type": "expire", "everySeconds": kept_s}]})

    def drop(self) -> None:
        """Forget everything."""
        for bucket in self._buckets().values():
            self.ask("DELETE", f"/api/v2/buckets/{bucket}")
        for token in self.ask("GET", f"/api/v2/authorizations?orgID={self._organisation_id}")["authorizations"]:
            if self.settings.bucket_prefix in token["description"]:
                self.ask("DELETE", f"/api/v2/authorizations/{token['id']}")

    def clear(self, bucket: str) -> None:
        """Forget what is in one of them."""
        path = f"/api/v2/delete?org={self._server.organisation}&bucket={self.settings.bucket_prefix}{bucket}"
        self.ask("POST", path, {"start": "1970-01-01T00:00:00Z", "stop": "2200-01-01T00:00:00Z"})

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Any request, by JSON."""
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self._server.url + path, data, headers, method=method), timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def query(self, flux: str) -> list[dict[str, str]]:
        """Rows of a Flux query; `BUCKET(x)` stands for the bucket x."""
        for name in RETENTION_S:
            flux = flux.replace(f"BUCKET({name})", f'from(bucket: "{self.settings.bucket_prefix}{name}") |> range(start: 0, stop: 2200-01-01T00:00:00Z)')
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/vnd.flux", "Accept": "application/csv"}
        path = f"/api/v2/query?org={self._server.organisation}"
        with urllib.request.urlopen(urllib.request.Request(self._server.url + path, flux.encode(), headers), timeout=60) as answer:
            text = answer.read().decode()
        return [row for table in text.split("\r\n\r\n") for row in csv.DictReader(table.strip("\r\n").splitlines())]

    def points(self, bucket: str, columns: Sequence[str] = ("_measurement", "_field", "_value")) -> list[tuple[str, ...]]:
        """Everything in a bucket, sorted."""
        return sorted(tuple(row.get(column, "") for column in columns) for row in self.query(f"BUCKET({bucket})"))


@pytest.fixture
def empty_store(influx: Server) -> Iterator[Store]:
    """A real InfluxDB on which nothing is called as in this test yet."""
    made = Store(influx)
    yield made
    made.drop()


@pytest.fixture
def store(empty_store: Store) -> Store:
    """Buckets on a real InfluxDB."""
    empty_store.make_buckets()
    return empty_store


@pytest.fixture(scope="session")
def kept_store(influx: Server) -> Iterator[Store]:
    """Buckets on a real InfluxDB for all tests that only read what is in them."""
    made = Store(influx)
    made.make_buckets()
    yield made
    made.drop()


class Process:
    """`routecast sink` as a process."""

    def __init__(self, folder: Path, config_file: Path, options: Sequence[str]) -> None:
        self.log = folder / "sink.log"
        self.ready_file = folder / "ready"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROUTECAST_")}
        command = [sys.executable, "-m", "routecast.cli", "sink", "--config", str(config_file), "--ready-file", str(self.ready_file), *options]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=kept)


@pytest.fixture
def start_sink(tmp_path: Path, config_file: Path, store: Store) -> Iterator[Callable[..., Process]]:
    """Starts `routecast sink` with these options for InfluxDB at a URL; it ends with the test."""
    started: list[Process] = []

    def begin(url: str, *options: str) -> Process:
        (tmp_path / "token").write_text(store.token)
        influx = f'url = "{url}"\norganisation = "{store.settings.organisation}"\nbucket_prefix = "{store.settings.bucket_prefix}"\n'
        config_file.write_text(config_file.read_text() + f'[influx]\n{influx}token_file = "{tmp_path / "token"}"\n')
        started.append(Process(tmp_path, config_file, options))
        return started[-1]

    yield begin
    for process in started:
        process.process.kill()
        process.process.wait()
