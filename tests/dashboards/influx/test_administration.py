from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from routecast.dashboards.influx.administration import Administration, findings
from routecast.dashboards.influx.connection import Connection
from routecast.dashboards.influx.line_protocol import Destination
from routecast.dashboards.influx.schema import RETENTION_S
from routecast.models.config import Influx
from routecast.models.errors import ConfigError, Unreachable
from routecast.models.influx import InfluxMade


@pytest.fixture
def settings(empty_store: Any, tmp_path: Path) -> Influx:
    """A server without our buckets, token files in a folder of the test."""
    files = {"token_file": str(tmp_path / "write"), "read_token_file": str(tmp_path / "read")}
    return Influx.model_validate(empty_store.settings.model_dump() | files)


def _tokens(made: InfluxMade) -> dict[Any, str]:
    return {token.role: token.token or "" for token in made.tokens}


def _wrong(settings: Influx, tokens: dict[Any, str]) -> list[str]:
    return [finding.what for finding in findings(settings, tokens) if not finding.ok]


def test_everything_is_made_once_and_found_right(settings: Influx, empty_store: Any) -> None:
    """Buckets with their retention, two tokens; the second time nothing is made and no token is shown."""
    admin = Administration(settings, empty_store.token)
    made = admin.make()
    assert {bucket.name: (bucket.kept_s, bucket.done) for bucket in made.buckets} == {
        f"{settings.bucket_prefix}{name}": (kept_s, "made") for name, kept_s in RETENTION_S.items()
    }
    assert [(token.role, token.done, bool(token.token)) for token in made.tokens] == [("write", "made", True), ("read", "made", True)]
    again = admin.make()
    assert {bucket.done for bucket in again.buckets} == {"there"}
    assert [(token.done, token.token, token.lacks) for token in again.tokens] == [("there", None, ())] * 2
    assert _wrong(settings, _tokens(made)) == []


def test_a_token_may_do_what_it_is_for_and_no_more(settings: Influx, empty_store: Any) -> None:
    """Exchanged, each fails in what the other is for."""
    write, read = _tokens(Administration(settings, empty_store.token).make()).values()
    names = [f"{settings.bucket_prefix}{name}" for name in RETENTION_S]
    assert _wrong(settings, {"write": read}) == [f"sink may write to {name}" for name in names]
    assert _wrong(settings, {"read": write}) == [*(f"readers may read {name}" for name in names), "readers may not write"]
    assert _wrong(settings, {"write": empty_store.token, "read": empty_store.token}) == ["sink may not read", "readers may not write"]


def test_renewed_tokens_replace_the_old_ones(settings: Influx, empty_store: Any) -> None:
    """Which end at once."""
    admin = Administration(settings, empty_store.token)
    old, new = _tokens(admin.make()), _tokens(admin.make(renew=True))
    assert _wrong(settings, new) == []
    connection = Connection(settings, old["write"])
    assert connection.write(Destination("7d", "ms"), ()).status == 401
    connection.close()


def test_saved_tokens_are_for_this_user_alone_and_not_shown(settings: Influx, empty_store: Any) -> None:
    """Also where a file stood there that everybody could read."""
    Path(settings.token_file).write_text("old")
    Path(settings.token_file).chmod(0o644)
    made = Administration(settings, empty_store.token).make(save=True)
    assert [(token.token, token.saved) for token in made.tokens] == [(None, True), (None, True)]
    files = [Path(settings.token_file), Path(settings.read_token_file)]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
    write, read = (file.read_text().strip() for file in files)
    assert _wrong(settings, {"write": write, "read": read}) == []


def test_a_bucket_that_keeps_too_little_is_mended_and_one_that_keeps_longer_is_left(settings: Influx, empty_store: Any) -> None:
    """People may want to keep more."""
    admin = Administration(settings, empty_store.token)
    tokens = _tokens(admin.make())
    for name, kept_s in (("7d", 86_400 * 2), ("30d", 86_400 * 60), ("replay", 86_400 * 30)):
        empty_store.change_retention(name, kept_s)
    assert _wrong(settings, tokens) == [f"readers may read {settings.bucket_prefix}{name}" for name in ("7d", "replay")]
    done = {bucket.name.removeprefix(settings.bucket_prefix): (bucket.kept_s, bucket.done) for bucket in admin.make().buckets}
    assert (done["7d"], done["30d"], done["replay"]) == ((604_800, "changed"), (86_400 * 60, "there"), (0, "changed"))
    assert _wrong(settings, tokens) == []


def test_a_bucket_made_after_the_tokens_is_told(settings: Influx, empty_store: Any) -> None:
    """A token cannot be extended: another one is needed."""
    admin = Administration(settings, empty_store.token)
    tokens = _tokens(admin.make())
    empty_store.delete_bucket("1y")
    name = f"{settings.bucket_prefix}1y"
    assert [token.lacks for token in admin.make().tokens] == [(name,), (name,)]
    assert _wrong(settings, tokens) == [f"sink may write to {name}", f"readers may read {name}"]
    assert [token.lacks for token in admin.make(renew=True).tokens] == [(), ()]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"url": "http://127.0.0.1:9"}, r"cannot be reached .* check influx\.url, and that it runs"),
        ({"organisation": "nobody"}, r"refuses \(403: .*\): the token may not do that|refuses \(401"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(change: dict[str, str], reason: str, settings: Influx, empty_store: Any) -> None:
    """Of ours, not of the client's, with what to do."""
    write = _tokens(Administration(settings, empty_store.token).make())["write"]
    with pytest.raises(Unreachable, match=reason):
        Administration(settings.model_copy(update=change), write).make()


def test_an_unknown_token_is_one_sentence(settings: Influx) -> None:
    """And names the reason."""
    with pytest.raises(Unreachable, match=r"refuses \(401: unauthorized access\): the token is not known there"):
        Administration(settings, "nonsense").make()


@pytest.mark.parametrize("url", ["localhost:8086", "http://host:port", "ftp://host", "http://"])
def test_what_is_no_address_is_told(url: str) -> None:
    """Before anything is asked there."""
    with pytest.raises(ConfigError, match="is no address: give http://host:8086 or https://host"):
        findings(Influx(url=url), {})
