"""One election in one process: what goes wrong with it is said, and nothing of it is left behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from routecast.models.config import Config
from routecast.models.election import ElectionInput
from routecast.models.errors import Unreachable
from routecast.servers.kafka import free_port
from routecast.streams.leadership.electing import COMMAND, Ballot

CONFIG = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit('no memory')", "ended with code 1: no memory"),
        ("import sys; sys.stdin.readline(); print('hello')", "ended with code"),
    ],
    ids=["fails", "garbage"],
)
def test_a_process_that_fails_or_talks_nonsense_is_an_error_that_says_so(program: str, reason: str) -> None:
    """With its last words, where it had any."""
    with pytest.raises(Unreachable, match=reason):
        Ballot((sys.executable, "-c", program)).elect(CONFIG, {"chat": "performance"}, 1000.0)


def test_a_log_that_cannot_be_reached_is_the_reason() -> None:
    """In the words of everything else that needs brokers."""
    nowhere = CONFIG.model_copy(update={"kafka": CONFIG.kafka.model_copy(update={"bootstrap": f"127.0.0.1:{free_port()}"})})
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
        Ballot().elect(nowhere, {"chat": "performance"}, 1000.0)


def test_the_process_ends_with_its_caller_and_takes_its_files_along(tmp_path: Path, eventually: Callable[..., None]) -> None:
    """`kill -9` of the caller, who would have removed them."""
    folder = tmp_path / "election"
    folder.mkdir()
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections and never answers
    address = {"bootstrap": f"127.0.0.1:{silent.getsockname()[1]}"}
    config = CONFIG.model_copy(update={"kafka": CONFIG.kafka.model_copy(update=address)})
    asked = ElectionInput(config=config, following={"chat": "performance"}, stretch_ms=1000.0, folder=str(folder))
    program = f"""
import subprocess, sys
child = subprocess.Popen({COMMAND!r}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
child.stdin.write(sys.stdin.buffer.readline())
child.stdin.flush()
print(child.pid, flush=True)
child.wait()
"""
    with silent, subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as caller:
        assert caller.stdin is not None
        assert caller.stdout is not None
        caller.stdin.write(asked.model_dump_json().encode() + b"\n")
        caller.stdin.flush()
        caller.stdout.readline()
        caller.send_signal(signal.SIGKILL)
        eventually(lambda: not folder.exists(), within_s=20.0)
