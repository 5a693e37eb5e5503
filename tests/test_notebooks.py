from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_what_it_said_when_it_was_written(path: Path) -> None:
    """`make notebooks` writes them; every text in them is what the code prints now, and nothing warns."""
    ran = subprocess.run([sys.executable, "notebooks.py", "--check", path.stem], cwd=ROOT / "benchmarks", capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_names_no_machine_and_has_no_warning(path: Path) -> None:
    """Outputs are there, and none of them was written to stderr."""
    outputs = [output for cell in json.loads(path.read_text())["cells"] for output in cell.get("outputs", [])]
    assert len(outputs) >= 8
    assert [output for output in outputs if output.get("name") == "stderr" or output["output_type"] == "error"] == []


def test_there_are_two_notebooks() -> None:
    """From data to a table, and from a table to an answer."""
    assert [path.stem for path in NOTEBOOKS] == ["recording-to-dataframe", "would-b-have-been-better"]
