from __future__ import annotations

from pathlib import Path

import pytest

from routecast.models.errors import ConfigError
from routecast.streams.configuration import load, load_config

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "routecast.toml"
TARGET = '[[target]]\nid = "a"\nprovider = "p"\nmodel = "m"\nservice = "chat"\n'


def _write(folder: Path, text: str) -> Path:
    path = folder / "routecast.toml"
    path.write_text(text)
    return path


def _complaint(folder: Path, text: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(_write(folder, text), environ or {})
    return str(caught.value)


def test_the_example_is_complete_and_holds_the_defaults(tmp_path: Path) -> None:
    """Every section of the example equals the defaults of a minimal file."""
    example, minimal = load_config(EXAMPLE, {}), load_config(_write(tmp_path, TARGET), {})
    for section in ("routing", "adaptive", "thresholds", "intervals", "kafka", "influx"):
        assert getattr(example, section) == getattr(minimal, section)


def test_the_environment_lies_on_top() -> None:
    """Nested keys, read as TOML where they are TOML; the origin is remembered."""
    loaded = load(EXAMPLE, {"ROUTECAST_KAFKA__BOOTSTRAP": "broker:9092", "ROUTECAST_ROUTING__USD_PER_SECOND": "0.5", "ROUTECAST_ADAPTIVE__ENABLED": "false"})
    assert (loaded.config.kafka.bootstrap, loaded.config.routing.usd_per_second, loaded.config.adaptive.enabled) == ("broker:9092", 0.5, False)
    assert loaded.origins["kafka.bootstrap"] == "ROUTECAST_KAFKA__BOOTSTRAP"
    assert loaded.origins["routing.policy"] == str(EXAMPLE)


def test_other_variables_of_ours_are_left_alone() -> None:
    """Variables that tests and tools use are no configuration."""
    assert load_config(EXAMPLE, {"ROUTECAST_TRACES": "somewhere", "PATH": "x"}) == load_config(EXAMPLE, {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TARGET + "quality = 3\n", ("routecast.toml", "target[0].quality", "3", "less than or equal to 1")),
        (TARGET + "qualty = 0.5\n", ("target[0].qualty", "did you mean 'quality'")),
        (TARGET.replace('model = "m"\n', ""), ("target[0].model", "required")),
        (TARGET + TARGET, ("unique", "'a'")),
        (TARGET + '[service.chat]\npolcy = "weighted"\n', ("service.chat.polcy", "did you mean 'policy'")),
        (TARGET + '[service.chatt]\npolicy = "weighted"\n', ("service.chatt", "belongs to no target", "'chat'")),
        (TARGET + '[routing]\npolicy = "best"\n', ("routing.policy", "'best'", "performance", "round_robin")),
        (TARGET + "[routing]\nscore_weights = { response_time = 0, reliability = 0, quality = 0 }\n", ("score weight", "above 0")),
        (TARGET + "[thresholds]\nerror_ratio = { warning = 0.5, critical = 0.1 }\n", ("thresholds.error_ratio", "critical (0.1)", "warning (0.5)")),
        (TARGET + "[kafkaa]\n", ("kafkaa", "did you mean 'kafka'")),
        ("[routing\n", ("not TOML", "line 1")),
        (TARGET.replace("[[target]]", "[target]"), ("target: write [[target]], with two brackets",)),
        (TARGET + '[kafka]\nbootstrap = "kafka://broker:9092"\n', ("kafka", "bootstrap is not host:port")),
        (TARGET + '[kafka]\nbootstrap = "broker:port"\n', ("kafka", "bootstrap is not host:port")),
        ("", ("no configuration",)),
    ],
)
def test_a_wrong_file_gets_a_clear_error(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    """The error names file, key, value and what is allowed."""
    complaint = _complaint(tmp_path, text)
    assert [word for word in words if word not in complaint] == []


def test_all_errors_come_at_once(tmp_path: Path) -> None:
    """Nobody mends a file one error at a time."""
    complaint = _complaint(tmp_path, TARGET + 'quality = 3\nweight = -1\n[routing]\npolicy = "best"\n')
    assert len(complaint.splitlines()) == 3


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    """Not the file is at fault."""
    assert _complaint(tmp_path, TARGET, {"ROUTECAST_ROUTING__POLICY": "best"}).startswith("ROUTECAST_ROUTING__POLICY: routing.policy = 'best'")
    assert "write them into the file" in _complaint(tmp_path, TARGET, {"ROUTECAST_TARGET__ID": "x"})


def test_a_file_as_windows_editors_write_it_is_read(tmp_path: Path) -> None:
    """Their mark of UTF-8 at the beginning is none of ours, nor are their ends of lines."""
    file = tmp_path / "routecast.toml"
    file.write_bytes(b"\xef\xbb\xbf" + TARGET.replace("\n", "\r\n").encode())
    assert [target.id for target in load_config(file, {}).target] == ["a"]


def test_variables_do_not_hide_that_no_file_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets are written in a file: it is named, not what it would have held."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"'routecast\.toml' is not here; give --config FILE or write it"):
        load_config(None, {"ROUTECAST_KAFKA__BOOTSTRAP": "broker:9092"})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """And the next action with it."""
    with pytest.raises(ConfigError, match=r"nowhere\.toml' does not exist: give another"):
        load_config(tmp_path / "nowhere.toml", {})
