from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from routecast.servers.influxd import VERSION, InfluxUnavailable, LocalInflux, build, missing_tools


def _ask(server: LocalInflux, path: str, body: bytes | None = None) -> Any:
    headers = {"Authorization": f"Token {server.token}", "Content-Type": "application/vnd.flux", "Accept": "application/csv"}
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}{path}", body, headers), timeout=30) as answer:
        return answer.read().decode()


@pytest.mark.usefixtures("influx_tools")
def test_a_server_finds_its_data_after_a_stop_and_after_a_crash(tmp_path: Path) -> None:
    """At the same address, with the same token, everything that was answered with 204."""
    server = LocalInflux(tmp_path / "influx")
    write = f"/api/v2/write?org={server.organisation}&bucket=default&precision=s"
    with server:
        first = server.pid
        _ask(server, write, b"kept value=1 1700000000")
    assert server.pid is None
    with server:
        assert server.pid not in {None, first}
        _ask(server, write, b"kept value=2 1700000001")
        server.kill()
        server.start()
        query = b'from(bucket: "default") |> range(start: 0) |> keep(columns: ["_value"])'
        found = _ask(server, f"/api/v2/query?org={server.organisation}", query)
    assert [line.split(",")[-1] for line in found.split()[1:]] == ["1", "2"]


@pytest.mark.usefixtures("influx_tools")
def test_a_server_is_of_the_version_it_says(tmp_path: Path) -> None:
    """Whoever reads a test's result knows what it was tested on."""
    with LocalInflux(tmp_path / "influx") as server:
        health = json.loads(_ask(server, "/health"))
    assert (health["status"], health["version"]) == ("pass", f"v{VERSION}")


@pytest.mark.usefixtures("influx_tools")
def test_a_server_that_cannot_start_says_why_at_once(tmp_path: Path) -> None:
    """Here its port is taken by somebody else; nothing of it stays behind."""
    server = LocalInflux(tmp_path / "influx")
    port = int(server.url.rsplit(":", 1)[1])
    with socket.create_server(("127.0.0.1", port)), pytest.raises(InfluxUnavailable, match=r"(?s)did not start, see .*influxd\.log.*address already in use"):
        server.start()
    assert server.pid is None


def test_without_compilers_a_server_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Debian calls it, and what to do instead."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert missing_tools() == ["go", "cargo", "cc"]
    with pytest.raises(InfluxUnavailable, match="needs go and cargo and cc: install golang-go cargo gcc, or give a running server"):
        build()


def test_a_build_that_fails_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here with a Go that only complains."""
    for name in ("go", "cargo", "cc"):
        (tmp_path / name).write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(InfluxUnavailable, match=r"cannot be built, go mod init routecast-influxd says: no network"):
        build()
    assert list((tmp_path / "cache" / "routecast").iterdir()) == []
