"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session")
def traces() -> Path:
    """Folder of the original recordings; absent on most machines, never under CI."""
    folder = os.environ.get("ROUTECAST_TRACES")
    if folder and Path(folder).is_dir():
        return Path(folder)
    if os.environ.get("CI"):
        pytest.fail("ROUTECAST_TRACES must name the folder of the recordings under CI")
    pytest.skip("needs the original recordings: set ROUTECAST_TRACES to their folder")
