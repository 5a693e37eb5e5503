"""Every command with wrong input: the exit code of docs/operating.md, nothing on stdout, and a sentence that says what to do."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main

from routecast.cli.app import app

Command = Callable[..., Any]

TARGETS = "".join(f'[[target]]\nid = "{name}"\nprovider = "p-{name}"\nmodel = "m"\nservice = "chat"\n' for name in "abc")
NOBODY = ("--kafka", "kafka://127.0.0.1:1")
UNREACHABLE: tuple[tuple[str, ...], ...] = (
    ("tail", "events"),
    ("record", "--out", "new"), ("topics", "list"), ("topics", "check"), ("topics", "create"), ("targets", "list"), ("targets", "show", "a"),
    ("targets", "drain", "a"), ("targets", "resume", "a"), ("targets", "set-weight", "a", "2"), ("policy", "show"), ("policy", "set", "random"),
    ("policy", "reset"), ("experiment", "list"), ("experiment", "status", "x"), ("experiment", "stop", "x", "--why", "enough"),
    ("experiment", "start", "x", "--arm", "a", "--arm", "b:policy=random", "--for", "1d"), ("top", "--once"), ("insights",), ("alerts", "list"),
    ("alerts", "show", "x"), ("alerts", "silences"), ("alerts", "silence", "quality", "--for", "1h", "--why", "night"),
    ("alerts", "unsilence", "quality"), ("capacity",), ("worker",), ("route", "explain"),
)  # fmt: skip
"""Each with `--kafka` to where nothing listens: 4."""
WRONG: tuple[tuple[int, str, tuple[str, ...]], ...] = (
    (4, "localhost:1", ("doctor", "--kafka", "kafka://localhost:1", "--role", "router", "--json")),
    (4, "check that Kafka is running", ("demo", "--workers", "0", *NOBODY)),
    (3, "'none' does not exist: give another --config FILE", ("access", "--config", "none")),
    (3, "'none' does not exist: give another --config FILE", ("worker", "--config", "none")),
    (3, "'empty' is empty; write at least one [[target]]", ("config", "check", "--config", "empty")),
    (3, "'folder' cannot be read: Is a directory", ("config", "show", "--config", "folder")),
    (3, "wrong.toml: routng: no such key; did you mean 'routing'?", ("config", "check", "--config", "wrong.toml")),
    (3, "influx.token_file = 'influx.token' cannot be read", ("sink",)),
    (3, "influx.token_file = 'influx.token' cannot be read", ("influx", "check")),
    (3, "influx.admin_token_file = 'influx-admin.token' cannot be read", ("influx", "init")),
    (3, "alerts.webhook_file", ("alerts", "test")),
    (3, "'none' does not exist: give the file that `routecast record` wrote", ("top", "none", "--once")),
    (3, "'none' does not exist: give the file that `routecast record` wrote", ("replay", "none")),
    (3, "'none' does not exist: give the file that `routecast record` wrote", ("export", "none", "--events", "--out", "new.csv")),
    (3, "'none' does not exist: give the file that `routecast record` wrote", ("capacity", "none")),
    (3, "'none' does not exist: give the file that `routecast record` wrote", ("backtest", "none")),
    (3, "'none' does not exist: give the file that `routecast record` wrote", ("route", "explain", "none")),
    (3, "'none' cannot be read: No such file or directory; give a file with one routing snapshot", ("route", "explain", "--snapshot", "none")),
    (3, "`routecast import --example` prints a mapping", ("import", "log", "--mapping", "none", "--out", "new")),
    (3, "fields: missing; `routecast import --example` prints a mapping", ("import", "log", "--mapping", "empty", "--out", "new")),
    (3, "'nowhere/file': no such file or directory", ("demo", "--write-config", "nowhere/file")),
    (3, "'empty' exists: give another file", ("demo", "--write-config", "empty")),
    (3, "'empty' exists: give another file", ("demo", "--record", "empty", "--policy", "performance")),
    (3, "'none' does not exist: give another --config FILE", ("grafana", "export", "new", "--config", "none")),
    (3, "`routecast grafana export` writes them", ("grafana", "lint", "none")),
    (1, "'empty' is no recording: give the file that `routecast record` wrote", ("replay", "empty")),
    (1, "no events: give an object, an array of objects, or one object a line", ("send",)),
    (2, "--mapping FILE and --out FILE are missing", ("import", "log")),
    (2, "--out FILE is missing", ("import", "log", "--mapping", "empty")),
    (2, "no policy 'perfomance'; did you mean 'performance'?", ("demo", "--record", "new", "--duration", "5", "--policy", "perfomance")),
    (2, "--duration 5: the demonstration has its troubles within 60 to 3600 s", ("demo", "--duration", "5")),
    (2, "no policy 'perfomance'; did you mean 'performance'?", ("policy", "set", "perfomance")),
    (2, "no policy 'perfomance'; did you mean 'performance'?, or write NAME=FILE.toml", ("backtest", "empty", "--policy", "perfomance")),
    (2, "no policy 'perfomance'; did you mean 'performance'?", ("replay", "empty", "--policy", "perfomance")),
    (2, "'nowhere/a.html': there is no folder 'nowhere'", ("backtest", "empty", "--html", "nowhere/a.html")),
    (2, "did you mean routing.policy", ("config", "explain", "routing.polcy")),
    (2, "no service 'caht'; did you mean 'chat'?", ("route", "explain", "--offline", "--service", "caht")),
)  # fmt: skip
TAKE_NOTHING = {("config", "reference"), ("influx", "schema")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A right configuration, a wrong one, an empty file and a folder."""
    (tmp_path / "routecast.toml").write_text(TARGETS)
    (tmp_path / "wrong.toml").write_text(f"{TARGETS}[routng]\n")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    return tmp_path


def test_wrong_input_is_said_with_what_to_do(inside: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No raw error of Python or the operating system, whatever is wrong, and nothing where data would be."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setenv("COLUMNS", "200")
    cases = [(4, "cannot be reached: nothing listens there; check that Kafka is running", (*words, *NOBODY)) for words in UNREACHABLE]
    for code, said, words in [*cases, *WRONG]:
        shown = inside(*words)
        assert (words, shown.returncode, shown.stdout if "--json" not in words else "") == (words, code, ""), shown.stderr
        assert said in f"{shown.stderr}{shown.stdout}", words
        assert not {"Traceback", "[Errno"} & set(shown.stderr.split()), words
    assert sorted(path.name for path in folder.iterdir()) == ["empty", "folder", "routecast.toml", "wrong.toml"]


def test_no_command_is_left_out() -> None:
    """Each that can be given something wrong is."""
    tried = [words for _, _, words in WRONG] + list(UNREACHABLE)
    missing = [path for path in _commands(typer.main.get_command(app)) if not any(words[: len(path)] == path for words in tried)]
    assert set(missing) == TAKE_NOTHING


def _commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(command, "commands", None)
    return [path] if inner is None else [found for name, one in inner.items() for found in _commands(one, (*path, name))]
