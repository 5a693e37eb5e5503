"""Fixtures for tests of the analytics."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture
def untraced() -> Iterator[None]:
    """No tracing during the test: measuring coverage makes a simulation of a million calls ten times slower."""
    trace = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(trace)
