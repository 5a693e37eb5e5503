from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from routecast.servers.influxd import LocalInflux

TARGET = '[[target]]\nid = "a"\nprovider = "p"\nmodel = "m"\nservice = "chat"\n'

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def routecast(tmp_path: Path) -> Run:
    """Runs a command in an empty folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "routecast.cli", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, influx_tools: None) -> Iterator[LocalInflux]:
    """A server of its own, on which the default names are free."""
    assert influx_tools is None
    with LocalInflux(tmp_path_factory.mktemp("influx")) as server:
        yield server


def test_an_operator_sets_influxdb_up(fresh: LocalInflux, routecast: Run, tmp_path: Path) -> None:
    """With the token of an administrator in its file: init, check, init again; each token is printed once."""
    (tmp_path / "routecast.toml").write_text(f'{TARGET}[influx]\nurl = "{fresh.url}"\n')
    (tmp_path / "influx-admin.token").write_text(fresh.token + "\n")
    first = routecast("influx", "init", "--json")
    assert (first.returncode, first.stderr) == (0, "")
    made: dict[str, Any] = json.loads(first.stdout)
    assert [bucket["name"] for bucket in made["buckets"]] == [f"routecast_{name}" for name in ("7d", "30d", "90d", "1y", "2y", "replay")]
    for token in made["tokens"]:
        (tmp_path / token["file"]).write_text(token["token"])
    checked = routecast("influx", "check", "--plain")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert {line.split("\t")[1] for line in checked.stdout.splitlines()[1:]} == {"ok"}
    again = routecast("influx", "init", "--plain")
    assert again.returncode == 0
    assert not [token["token"] for token in made["tokens"] if token["token"] in again.stdout]
    (tmp_path / "influx.token").unlink()
    lost = routecast("influx", "init", "--save")
    assert (lost.returncode, lost.stderr.count("\n")) == (0, 1)
    assert "the write token was made before and cannot be shown again, and 'influx.token' is not there: --renew --save" in lost.stderr
    saved = routecast("influx", "init", "--renew", "--save")
    assert "stored in the file" in saved.stdout
    assert routecast("influx", "check").returncode == 0
    (tmp_path / "influx.token").write_text("nonsense")
    wrong = routecast("influx", "check")
    assert wrong.returncode == 5
    assert "check the file of influx.token_file" in " ".join(wrong.stdout.split())
    assert wrong.stderr == f"routecast: 6 of 14 things at {fresh.url} are not as they must be: mend them as listed\n"


def test_without_a_token_file_the_next_step_is_named(routecast: Run, tmp_path: Path) -> None:
    """It is a matter of the configuration."""
    (tmp_path / "routecast.toml").write_text(TARGET)
    ran = routecast("influx", "check")
    assert (ran.returncode, ran.stdout) == (3, "")
    assert "influx.token_file = 'influx.token' cannot be read: No such file or directory" in ran.stderr
    assert "`routecast influx init --save` stores one there" in ran.stderr
    ran = routecast("influx", "init")
    assert (ran.returncode, ran.stdout) == (3, "")
    assert "influx.admin_token_file = 'influx-admin.token' cannot be read: No such file or directory" in ran.stderr
    assert "the set-up of InfluxDB shows an administrator's" in ran.stderr


@pytest.fixture
def stranger() -> Iterator[str]:
    """Address of a web server that is no InfluxDB and answers everything with a page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        do_POST = do_GET  # noqa: N815 - named by the base class

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the base class
            """Nothing to say."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("command", ["init", "check"])
def test_another_server_is_told_from_influxdb(routecast: Run, tmp_path: Path, stranger: str, command: str) -> None:
    """Where its address stands in the configuration."""
    (tmp_path / "routecast.toml").write_text(f'{TARGET}[influx]\nurl = "{stranger}"\n')
    for name in ("influx-admin.token", "influx.token", "influx-read.token"):
        (tmp_path / name).write_text("t")
    ran = routecast("influx", command)
    assert (ran.returncode, ran.stderr) == (4, f"routecast: what answers at '{stranger}' is no InfluxDB 2: check influx.url\n")


def test_without_a_server_the_exit_code_says_so(routecast: Run, tmp_path: Path) -> None:
    """With one sentence."""
    (tmp_path / "routecast.toml").write_text(f'{TARGET}[influx]\nurl = "http://127.0.0.1:9"\n')
    (tmp_path / "influx-admin.token").write_text("x")
    ran = routecast("influx", "init")
    assert (ran.returncode, ran.stdout) == (4, "")
    assert ran.stderr.count("\n") == 1
    assert "check influx.url, and that it runs" in ran.stderr


def test_the_schema_is_printed_as_in_the_page(routecast: Run) -> None:
    """Without a configuration."""
    page = Path(__file__).parent.parent.parent / "docs" / "influxdb.md"
    assert page.read_text().endswith(routecast("influx", "schema").stdout)
