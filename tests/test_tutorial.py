from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from routecast.cli.app import run as command_line
from routecast.models.config import Kafka

PAGE = Path(__file__).parent.parent / "docs" / "tutorial.md"
LIVE = "On your fleet, with `routecast.toml`"
_FENCE = re.compile(r"^```(console|python)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
_PASSING = re.compile(r"in \d+\.\d s, [\d,]+ events/s|\b(in|input|configuration) [0-9a-f]{12}\b", re.IGNORECASE)
"""How long it took, and what follows from the version of the format."""
CONFIG = '[routing]\npolicy = "weighted"\n' + "".join(
    f'\n[[target]]\nid = "{name}"\nprovider = "{name}"\nmodel = "m"\nservice = "chat"\n' for name in ("east", "west")
)


class Step(NamedTuple):
    """A command, or a program, and what the page says that it prints."""

    code: str
    command: bool
    prints: str


def steps(text: str) -> list[Step]:
    """Everything on the page that can be executed, in its order."""
    found: list[Step] = []
    for kind, body, prints in _FENCE.findall(text):
        if kind == "python":
            found.append(Step(body, command=False, prints=prints))
        else:
            found += [Step(part.partition("\n")[0], command=True, prints=part.partition("\n")[2]) for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]]
    return found


def execute(step: Step, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """Do it in this folder; what it prints. A command must succeed."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        if step.command:
            monkeypatch.setattr("sys.argv", shlex.split(step.code))
            assert command_line() == 0, step.code
        else:
            exec(compile(step.code, str(PAGE), "exec"), names)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def before_and_on_the_fleet() -> tuple[list[Step], list[Step]]:
    """What needs nothing, and what needs a fleet."""
    before, fleet = PAGE.read_text().split(LIVE)
    return steps(before), steps(fleet)


def test_the_tutorial_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command and program up to the fleet, in order and in one folder; only times differ."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "tutorial"}
    done, _ = before_and_on_the_fleet()
    assert len(done) >= 7
    for step in done:
        assert _PASSING.sub("#", execute(step, names, monkeypatch)) == _PASSING.sub("#", step.prints), step.code
    assert (tmp_path / "monday.html").stat().st_size > 10_000


def test_the_tutorial_on_a_fleet(
    kafka: Kafka, start_worker: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    """Experiment and switch on a real broker; only numbers, names made up and times differ."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "routecast.toml"
    file.write_text(f'{CONFIG}\n[intervals]\nsnapshot_ms = 500\n\n[kafka]\nbootstrap = "{kafka.bootstrap}"\nprefix = "{kafka.prefix}"\n')
    start_worker(file).wait_for("ready")
    _, done = before_and_on_the_fleet()
    assert len(done) == 5
    for step in done:
        if " status " in step.code:  # reports come every ten seconds
            eventually(lambda step=step: _shape(execute(step, {}, monkeypatch)) == _shape(step.prints), within_s=20)
        else:
            assert _shape(execute(step, {}, monkeypatch)) == _shape(step.prints)


def _shape(text: str) -> str:
    """Without numbers, salts and how columns are filled up."""
    return re.sub(r"\s+", " ", re.sub(r"\([0-9a-f]{8}\)|[\d.]+", "#", text))
