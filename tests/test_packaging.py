from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
LINKED = ("models", "analytics", "streams", "dashboards")


def _setup() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return dict(project["tool"]["setuptools"])


def test_every_folder_with_an_init_is_listed_as_a_package() -> None:
    """A sub-package that is missing from the list would work in a checkout and be absent from the wheel."""
    facade = ROOT / "src" / "routecast"
    folders = {"routecast"} | {f"routecast.{p.parent.name}" for p in facade.glob("*/__init__.py") if not p.parent.is_symlink()}
    folders |= {".".join(("routecast", *init.parent.relative_to(ROOT).parts)) for name in LINKED for init in (ROOT / name).rglob("__init__.py")}
    assert set(_setup()["packages"]) == folders


@pytest.mark.parametrize("name", LINKED)
def test_the_facade_links_to_the_package(name: str) -> None:
    """The links for type checkers are links, relative, and lead to the folders that are packaged."""
    link = ROOT / "src" / "routecast" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../../{name}"  # noqa: PTH115 - the text of the link, unresolved
    assert _setup()["package-dir"][f"routecast.{name}"] == name


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the sources, so that a build leaves nothing behind and finds nothing old."""
    skipped = shutil.ignore_patterns(".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis", ".coverage*")
    return Path(shutil.copytree(ROOT, tmp_path / "checkout", symlinks=True, ignore=skipped))


def test_the_wheel_holds_everything_and_works_without_the_sources(tmp_path: Path, checkout: Path) -> None:
    """Every module, the bundled data and the type marker are in the wheel, and it routes without the checkout."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(checkout)],
        check=True, env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True)
    expected = {p.relative_to(ROOT / "src").as_posix() for p in (ROOT / "src" / "routecast").rglob("*.py")}
    expected |= {f"routecast/{p.relative_to(ROOT).as_posix()}" for name in LINKED for p in (ROOT / name).rglob("*.py")}
    expected |= {f"routecast/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "dashboards" / "grafana" / "json").iterdir()}
    expected |= {f"routecast/data/{p.name}" for p in (ROOT / "src" / "routecast" / "data").iterdir()} | {"routecast/py.typed"}
    found = {p.relative_to(site).as_posix() for p in (site / "routecast").rglob("*") if p.is_file()}
    assert found == expected
    program = "from routecast import Router, Config; from routecast.recordings import llmperf; print(len(llmperf()), __import__('routecast').__file__)"
    shown = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site)}
    )
    assert shown.stdout.split() == ["10", str(site / "routecast" / "__init__.py")]


def test_the_source_distribution_holds_the_tests(tmp_path: Path, checkout: Path) -> None:
    """Whoever packages routecast can run its tests."""
    program = f"import os; os.chdir({str(checkout)!r}); from setuptools.build_meta import build_sdist; print(build_sdist({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.split("/", 1)[-1] for name in tar.getnames()}
    assert {"tests/test_packaging.py", "models/events.py", "src/routecast/data/llmperf_2023.csv", "Makefile", "requirements-dev.txt"} <= names


def test_the_lock_names_no_download_address_and_hashes_everything() -> None:
    """Exact versions with hashes, from whichever index the user has."""
    text = (ROOT / "requirements-dev.txt").read_text()
    pins = re.findall(r"^[\w.\[\]-]+==[^\s;]+", text, re.MULTILINE)
    assert "://" not in text
    assert len(pins) > 30
    assert text.count("--hash=sha256:") >= len(pins)
