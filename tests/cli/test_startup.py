from __future__ import annotations

import subprocess
import sys

SLOW = {
    "aiohttp", "aiokafka", "faust", "influxdb_client", "jinja2", "jsonschema", "msgspec", "numpy", "pandas", "prometheus_client", "pyarrow", "rich", "scipy",
    "textual", "urllib3",
}  # fmt: skip
"""What no help needs, each between ten milliseconds and half a second."""
_FIRST_PAGE = """
import sys
from routecast.cli.app import app
try:
    app(["--help"], prog_name="routecast")
except SystemExit as stop:
    assert not stop.code
print(*sys.modules)
"""
_EVERY_PAGE = """
import sys, typer
from routecast.cli.app import app

def show(command, words):
    try:
        app([*words, "--help"], prog_name="routecast")
    except SystemExit as stop:
        assert not stop.code, words
    for name, below in getattr(command, "commands", {}).items():
        show(below, [*words, name])

show(typer.main.get_command(app), [])
print(*sys.modules)
"""


def _said(program: str) -> tuple[str, set[str]]:
    """The pages that a program prints, and the modules it has loaded."""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    pages, loaded = ran.stdout.rsplit("\n", 2)[:2]
    return pages, set(loaded.split())


def test_the_first_page_of_help_loads_nothing_slow() -> None:
    """Whoever asks for help waits for Typer alone."""
    pages, loaded = _said(_FIRST_PAGE)
    assert pages.count("Usage: routecast") == 1
    assert loaded & (SLOW | {"pydantic"}) == set()


def test_no_page_of_help_loads_anything_slow() -> None:
    """That of every command, one after the other in one process; below the first page Typer itself loads pydantic."""
    pages, loaded = _said(_EVERY_PAGE)
    assert pages.count("Usage: routecast") > 30
    assert loaded & SLOW == set()
