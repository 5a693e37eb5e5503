from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TARGET = '[[target]]\nid = "a"\nprovider = "p"\nmodel = "m"\nservice = "chat"\n'

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def routecast(tmp_path: Path) -> Run:
    """Runs a command in a folder with a configuration."""
    (tmp_path / "routecast.toml").write_text(TARGET)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "routecast.cli", "grafana", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_an_operator_exports_changes_and_checks(routecast: Run, tmp_path: Path) -> None:
    """Export, check, export again with another prefix; what somebody broke is named, and mended by another export."""
    first = routecast("export", "out", "--json")
    assert (first.returncode, first.stderr) == (0, "")
    files = json.loads(first.stdout)["files"]
    assert len(files) == 10
    assert all((tmp_path / "out" / name).is_file() for name in files)
    checked = routecast("lint", "out")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "are as they must be" in checked.stdout
    again = routecast("export", "out", "--prefix", "fleet-")
    assert again.returncode == 0
    assert "Mount out/provisioning" in again.stdout
    overview = tmp_path / "out" / "dashboards" / "routecast-overview.json"
    assert '"query": "fleet-"' in overview.read_text()
    assert 'bucket: "fleet-7d"' in (tmp_path / "out" / "provisioning" / "alerting" / "routecast.yaml").read_text()
    overview.write_text(overview.read_text().replace('"unit": "reqpm"', '"unit": "furlongs"'))
    broken = routecast("lint", "out", "--plain")
    assert broken.returncode == 5
    assert "unit\t'furlongs' is no unit" in broken.stdout
    assert broken.stderr.startswith("routecast: 2 things in 8 files are not as they must be")
    assert json.loads(routecast("lint", "out", "--json").stdout)["flaws"][0]["rule"] == "unit"
    routecast("export", "out")
    assert routecast("lint", "out").returncode == 0


def test_files_of_somebody_else_stay(routecast: Run, tmp_path: Path) -> None:
    """Unless it is said twice; then nothing that is not ours to write is touched."""
    foreign = tmp_path / "out" / "provisioning" / "alerting" / "routecast.yaml"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    other = foreign.with_name("other.yaml")
    other.write_text("mine")
    refused = routecast("export", "out")
    assert refused.returncode == 3
    assert "was not written by an export: choose another folder, or use --force" in refused.stderr
    assert [path.name for path in (tmp_path / "out").rglob("*.json")] == []
    assert routecast("export", "out", "--force").returncode == 0
    assert (foreign.read_text() != "mine", other.read_text()) == (True, "mine")


def test_what_the_package_ships_is_checked_without_a_folder(routecast: Run, tmp_path: Path) -> None:
    """With the rules of the configuration where there is one."""
    with_rules = routecast("lint", "--json")
    assert (with_rules.returncode, json.loads(with_rules.stdout)["files"]) == (0, 8)
    (tmp_path / "routecast.toml").unlink()
    assert json.loads(routecast("lint", "--json").stdout)["files"] == 7
