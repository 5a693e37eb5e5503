from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.models.config import Config, TargetConfig
from routecast.streams.configuration import load_config
from routecast.streams.configuration_file import as_toml

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def _again(config: Config, folder: Path) -> Config:
    (folder / "again.toml").write_text(as_toml(config), encoding="utf-8")
    return load_config(folder / "again.toml", {})


@pytest.mark.parametrize("name", ["routecast.toml", "demo.toml"])
def test_a_written_configuration_is_read_again(name: str, tmp_path: Path) -> None:
    """Overrides of services included."""
    config = load_config(EXAMPLES / name, {})
    assert _again(config, tmp_path) == config


def test_values_that_are_no_defaults_are_written(tmp_path: Path) -> None:
    """Nested groups, maps and truth values."""
    table = {
        "target": [{"id": "a", "provider": "p", "model": "m", "service": "chat & mail", "weight": 0.5}],
        "adaptive": {"enabled": False},
        "thresholds": {"response_time_ms": {"warning": 1, "critical": 2}},
        "service": {"chat & mail": {"policy": "greedy"}},
        "intervals": {"snapshot_ms": 250},
    }
    config = Config.model_validate(table)
    assert _again(config, tmp_path) == config


@given(name=st.text(min_size=1, max_size=20).filter(str.isprintable).filter(str.strip))
def test_any_name_survives(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Quotes, backslashes, letters of every script."""
    config = Config(target=(TargetConfig(id=name.strip(), provider="p", model="m", service="chat"),))
    assert _again(config, tmp_path_factory.mktemp("configuration")) == config
