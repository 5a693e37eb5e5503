from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Ran = subprocess.CompletedProcess[str]

MAPPING = """
[fields]
target = "to"
started_at = { column = "at", time = "iso8601" }
duration = { column = "took", unit = "ms" }
outcome = { column = "end", values = { fine = "ok" }, otherwise = "error" }
"""
LOG = "at,took,to,end,note\n2026-11-26T10:00:01,820,east,fine,x\n2026-11-26T10:00:00,30,west,bad,\nnever,1,west,fine,\n"


@pytest.fixture
def command(environ: dict[str, str], tmp_path: Path) -> Callable[..., Ran]:
    """Runs a command in a folder with a request log and its mapping."""
    (tmp_path / "log.csv").write_text(LOG)
    (tmp_path / "mapping.toml").write_text(MAPPING)

    def run(*arguments: str) -> Ran:
        words = [sys.executable, "-m", "routecast.cli", *arguments]
        return subprocess.run(words, capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=60, check=False)

    return run


def test_a_request_log_becomes_a_recording_and_a_table(command: Callable[..., Ran], tmp_path: Path) -> None:
    """With an account of the line that could not be mapped; nothing is overwritten."""
    shown = command("import", "log.csv", "--mapping", "mapping.toml", "--out", "a.rec")
    assert (shown.returncode, "2 of 3 lines became attempts" in shown.stdout, "is no time of the form iso8601" in shown.stdout) == (0, True, True)
    assert "1 lines and 0 values of other lines were left out" in shown.stderr
    again = command("import", "log.csv", "--mapping", "mapping.toml", "--out", "a.rec")
    assert (again.returncode, "exists: give another file" in again.stderr) == (3, True)
    nowhere = command("export", "a.rec", "--decisions", "--out", "missing/a.csv")
    assert (nowhere.returncode, "there is no folder 'missing'" in nowhere.stderr) == (3, True)
    told = json.loads(command("export", "a.rec", "--decisions", "--out", "a.csv", "--json").stdout)
    assert (told["rows"], told["table"]) == (2, "decisions")
    table = pd.read_csv(tmp_path / "a.csv")
    assert table[["target", "outcome", "duration_s"]].to_numpy().tolist() == [["west", "error", 0.03], ["east", "ok", 0.82]]
    assert command("export", "a.rec", "--windows", "--out", "a.parquet").returncode == 0
    assert pd.read_parquet(tmp_path / "a.parquet")["requests"].max() == 2


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("import", "log.csv", "--out", "a.rec"), 2, "--example prints a mapping"),
        (("import", "none.csv", "--mapping", "mapping.toml", "--out", "a.rec"), 3, "cannot be read"),
        (("import", "log.csv", "--mapping", "none.toml", "--out", "a.rec"), 3, "`routecast import --example` prints a mapping"),
        (("import", "log.csv", "--mapping", "log.csv", "--out", "a.rec"), 3, "is no TOML"),
        (("export", "log.csv", "--events", "--out", "a.csv"), 1, "is no recording"),
        (("export", "log.csv", "--events", "--windows", "--out", "a.csv"), 2, "give one of --events, --decisions, --windows"),
        (("export", "log.csv", "--events", "--out", "log.csv"), 3, "exists: give another file"),
        (("export", "log.csv", "--events", "--out", "a.xlsx"), 3, "ends in .parquet or .csv"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(command: Callable[..., Ran], arguments: tuple[str, ...], code: int, sentence: str) -> None:
    """With the exit code of its kind."""
    shown = command(*arguments)
    assert (shown.returncode, sentence in " ".join(shown.stderr.split())) == (code, True), shown.stderr
