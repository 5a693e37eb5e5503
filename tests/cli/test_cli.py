from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from routecast.models.snapshot import encode_snapshot
from routecast.streams.configuration import load_config
from routecast.testing import Fleet

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = str(ROOT / "examples" / "routecast.toml")


def _run(*arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROUTECAST_")}
    return subprocess.run(
        [sys.executable, "-m", "routecast.cli", *arguments], capture_output=True, text=True, cwd=cwd, env=kept | environ, timeout=110, check=False
    )


def test_help_names_the_commands() -> None:
    """`routecast` without arguments explains itself."""
    shown = _run("--help")
    assert shown.returncode == 0
    assert all(word in shown.stdout for word in ("demo", "route", "config"))


def test_without_its_extra_the_command_says_what_to_install() -> None:
    """No stack trace for a missing extra."""
    program = "import sys; sys.modules['typer'] = None\nimport routecast.cli; routecast.cli.main()"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "pip install 'routecast[cli]'" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_an_interruption_while_it_loads_leaves_no_trace() -> None:
    """Ctrl-C before anything runs ends it as later ones do."""
    program = """
import sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
import routecast.cli
routecast.cli.main()
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout, shown.stderr) == (130, "", "")


def test_a_closed_stdout_is_no_error() -> None:
    """As some supervisors start programs: what would be shown goes nowhere."""
    program = (
        f"import os, sys; os.close(1); os.execv({sys.executable!r}, [{sys.executable!r}, '-m', 'routecast.cli', 'config', 'check', '--config', {EXAMPLE!r}])"
    )
    shown = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")


def test_check_says_ok_and_counts() -> None:
    """A good file, exit code 0."""
    shown = _run("config", "check", "--config", EXAMPLE)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("ok: 4 targets in 2 services (chat, embeddings)")
    told = json.loads(_run("config", "check", "--config", EXAMPLE, "--json").stdout)
    assert (told["services"], len(told["targets"]), len(told["version"])) == (["chat", "embeddings"], 4, 12)


def test_check_of_a_wrong_file_exits_with_3(tmp_path: Path) -> None:
    """Every error on stderr, nothing on stdout."""
    (tmp_path / "routecast.toml").write_text("[routing]\npolicy = 'best'\n")
    shown = _run("config", "check", cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (3, "")
    assert "routing.policy = 'best'" in shown.stderr
    assert "target: missing" in shown.stderr


def test_show_says_where_values_come_from() -> None:
    """File, variable or default."""
    shown = json.loads(_run("config", "show", "--config", EXAMPLE, "--json", ROUTECAST_KAFKA__PREFIX="x.").stdout)
    origins = {value["key"]: (value["value"], value["origin"]) for value in shown["values"]}
    assert origins["kafka.prefix"] == ("x.", "ROUTECAST_KAFKA__PREFIX")
    assert origins["routing.policy"] == ("performance", EXAMPLE)
    assert origins["target[1].weight"] == ("1", "default")
    assert origins["service.embeddings.policy"] == ("least_connections", EXAMPLE)


def test_explain_tells_meaning_range_default_and_present_value() -> None:
    """For every target, where the key is one of a target."""
    shown = json.loads(_run("config", "explain", "target.capacity", "--config", EXAMPLE, "--json").stdout)
    assert (shown["type"], shown["allowed"], shown["default"]) == ("integer", "≥ 1", "absent")
    assert [value["value"] for value in shown["values"]] == ["64", "absent", "absent", "8"]


def test_explain_of_an_unknown_key_suggests_one(tmp_path: Path) -> None:
    """Usage error, exit code 2."""
    shown = _run("config", "explain", "routing.polcy", cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "did you mean routing.policy" in shown.stderr


def test_route_explain_reads_a_snapshot(tmp_path: Path) -> None:
    """The decision a router would make from it, with reasons for the others."""
    config = load_config(Path(EXAMPLE), {})
    fleet = Fleet(config, routers=2, seed=1, service="chat")
    fleet.advance_to(fleet.now_ms + 3000)
    snapshot = fleet.snapshot()
    assert snapshot is not None
    (tmp_path / "scores.json").write_bytes(encode_snapshot(snapshot))
    shown = _run("route", "explain", "--config", EXAMPLE, "--snapshot", str(tmp_path / "scores.json"), "--excluded", "openai", "--json")
    found = json.loads(shown.stdout)
    assert found["snapshot"] == [snapshot.term, snapshot.seq]
    assert {other["target"]: other["reason"] for other in found["alternatives"]}["openai-gpt4o-eastus"] == "excluded by the caller"


def test_route_explain_without_any_target_left_exits_with_1() -> None:
    """The error says why each target was left out."""
    shown = _run("route", "explain", "--offline", "--config", EXAMPLE, "--service", "embeddings", "--excluded", "self-hosted")
    assert shown.returncode == 1
    assert "'local-embeddings': excluded by the caller" in shown.stderr


@pytest.mark.parametrize("form", [(), ("--plain",), ("--json",)])
def test_route_explain_prints_every_form(form: tuple[str, ...]) -> None:
    """Table, tabs and JSON, with nothing on stderr."""
    shown = _run("route", "explain", "--offline", "--config", EXAMPLE, "--service", "chat", *form)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "propensity" in shown.stdout


def test_the_demo_prints_the_same_bytes_twice_and_writes_its_report(tmp_path: Path) -> None:
    """One seed, one output; progress goes to stderr."""
    first = _run("demo", "--duration", "60", "--policy", "performance", "--policy", "random", "--seed", "5", "--out", str(tmp_path / "report.json"))
    second = _run("demo", "--duration", "60", "--policy", "performance", "--policy", "random", "--seed", "5")
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout == second.stdout
    assert "counts of the pipeline agree" in first.stdout
    assert [row["policy"] for row in json.loads((tmp_path / "report.json").read_text())["policies"]] == ["performance", "random"]


def test_the_demo_refuses_an_unknown_policy() -> None:
    """Usage error, exit code 2, with the names there are."""
    shown = _run("demo", "--policy", "best")
    assert shown.returncode == 2
    assert "performance, weighted" in shown.stderr
