from __future__ import annotations

from pathlib import Path

import pytest

from routecast.models.errors import ConfigError
from routecast.streams.ready_file import check_ready_file, mark_ready


def test_it_exists_while_the_program_is_ready(tmp_path: Path) -> None:
    """Whether it was there before or not; without a file nothing happens."""
    file = tmp_path / "ready"
    check_ready_file(file)
    for ready in (False, True, True, False):
        mark_ready(file, ready=ready)
        assert file.exists() is ready
    check_ready_file(None)
    mark_ready(None, ready=True)


@pytest.mark.parametrize("name", ["no/folder/ready", "."])
def test_what_cannot_be_written_is_told(tmp_path: Path, name: str) -> None:
    """A folder that is not there, or a folder itself."""
    with pytest.raises(ConfigError, match="cannot be written: give a file in a folder that is there"):
        check_ready_file(tmp_path / name)
