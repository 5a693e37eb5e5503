from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytestmark = pytest.mark.untraced

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_CLOSE = 0.25
"""Other processors round otherwise."""


@pytest.mark.parametrize("name", ["insights", "changes", "trends", "alerts", "capacity"])
def test_a_picture_shows_what_the_code_computes(name: str) -> None:
    """`make pictures` draws them again."""
    program = f"import sys, pictures; sys.stdout.write(pictures.PICTURES[{name!r}]())"
    drawn = subprocess.run([sys.executable, "-c", program], cwd=ROOT / "benchmarks", capture_output=True, text=True, timeout=110, check=True).stdout
    kept = (PICTURES / f"{name}.svg").read_text()
    assert _NUMBER.sub("#", drawn) == _NUMBER.sub("#", kept)
    pairs = zip(_NUMBER.findall(drawn), _NUMBER.findall(kept), strict=True)
    assert [pair for pair in pairs if abs(float(pair[0]) - float(pair[1])) > _CLOSE] == []


def test_pictures_can_be_read_aloud_and_in_the_dark() -> None:
    """Each has a description, colours for both, and stands alone."""
    for file in PICTURES.glob("*.svg"):
        text = file.read_text()
        assert ET.fromstring(text).get("aria-label")
        assert "prefers-color-scheme: dark" in text
        assert re.findall(r"(?:href|src|url)\s*[=(]", text) == []


def test_every_picture_is_shown_on_a_page() -> None:
    """With words for those who do not see it."""
    shown = {name for page in (ROOT / "docs").glob("*.md") for name in re.findall(r"!\[[^\]]{20,}\]\(pictures/([\w-]+)\.svg\)", page.read_text())}
    assert shown == {file.stem for file in PICTURES.glob("*.svg")}
