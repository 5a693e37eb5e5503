from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from routecast.cli.keys import reference_tables
from routecast.streams.configuration import load_config

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(python|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PROGRAM = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
SNIPPETS = [
    pytest.param(code, prints, id=f"{page.name}-{i}")
    for page in PAGES
    if page.stem != "tutorial"  # one session from its beginning to its end: tests/test_tutorial.py
    for i, (code, prints) in enumerate(_PROGRAM.findall(page.read_text()))
]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize(("code", "prints"), SNIPPETS)
def test_a_snippet_of_the_documentation_runs(code: str, prints: str, tmp_path: Path) -> None:
    """Every Python snippet is a program that works as it stands; text right below it is what it prints."""
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert not prints or ran.stdout == prints


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_an_example_runs(path: Path, tmp_path: Path) -> None:
    """Every example prints something and complains of nothing."""
    ran = subprocess.run([sys.executable, "-W", "error", str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout


def test_the_configuration_page_says_what_the_models_say() -> None:
    """The tables are those that `routecast config reference` prints."""
    assert (ROOT / "docs" / "configuration.md").read_text().endswith(reference_tables() + "\n")


@pytest.mark.parametrize("code", [code for kind, code in _FENCE.findall((ROOT / "docs" / "quickstart.md").read_text()) if kind == "toml"])
def test_a_configuration_in_the_documentation_is_valid(code: str, tmp_path: Path) -> None:
    """What the quickstart tells to write passes the check."""
    (tmp_path / "routecast.toml").write_text(code)
    assert load_config(tmp_path / "routecast.toml", {}).services == {"chat"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Relative links name files that exist."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_is_short() -> None:
    """A newcomer reads at most 200 lines."""
    assert (ROOT / "README.md").read_text().count("\n") <= 200
