from __future__ import annotations

from pathlib import Path

import pytest

from routecast.models.config import Alerting
from routecast.models.errors import ConfigError
from routecast.streams.notifications.webhook import Answer, advised_s, wait_s, webhook_url

NOW_MS = 1_700_000_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def test_only_what_may_be_otherwise_later_is_tried_again() -> None:
    """Failures of the server or of the way, and refusals that say so; a redirection is refused, since it could tell the address to others."""
    verdicts = {status: Answer(status).verdict for status in (200, 204, 301, 308, 400, 401, 404, 408, 410, 425, 429, 500, 503, 599, 0)}
    assert [status for status, verdict in verdicts.items() if verdict == "delivered"] == [200, 204]
    assert [status for status, verdict in verdicts.items() if verdict == "refused"] == [301, 308, 400, 401, 404, 410]


def test_waits_double_up_to_a_minute_and_are_drawn_from_the_whole_of_it() -> None:
    """Full jitter: many workers do not come back together."""
    assert [wait_s(tries, "", NOW_MS, 1.0) for tries in range(1, 9)] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert wait_s(1_000_000, "", NOW_MS, 0.5) == 30.0
    assert wait_s(5, "", NOW_MS, 0.0) == 0.0


def test_a_receiver_that_names_a_time_is_given_it_up_to_a_minute() -> None:
    """In seconds or as a date; never less than that, whatever the jitter."""
    assert wait_s(1, "7", NOW_MS, 0.3) == 7.0
    assert wait_s(1, "3600", NOW_MS, 0.3) == 60.0
    assert advised_s("Tue, 14 Nov 2023 22:13:50 GMT", NOW_MS) == 30.0
    assert [advised_s(text, NOW_MS) for text in ("", "soon", "-3", "²", "Tue, 14 Nov 2023 22:13:00 GMT", "Tue, 99 Nov 2023 99:99:99 GMT")] == [0.0] * 6


def test_without_a_file_nobody_is_told() -> None:
    """The default."""
    assert webhook_url(Alerting()) is None


def test_the_address_stands_in_a_file(tmp_path: Path) -> None:
    """Blanks around it do no harm."""
    file = tmp_path / "webhook"
    file.write_text(" https://hooks.example/T0/B1/secret?x=1\n")
    assert webhook_url(Alerting(webhook_file=str(file))) == "https://hooks.example/T0/B1/secret?x=1"


@pytest.mark.parametrize(
    "text", ["", "\n", "secret", "ftp://host/secret", "https://", "https://host:99999/secret", "https://a b/secret", "https://h/1\nhttps://h/2"]
)
def test_an_address_that_cannot_be_used_is_an_error_that_keeps_the_secret(text: str, tmp_path: Path) -> None:
    """It names the file and says what belongs into it."""
    file = tmp_path / "webhook"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"alerts\.webhook_file = '.*webhook' holds no address: write one such as https://host/path") as caught:
        webhook_url(Alerting(webhook_file=str(file)))
    assert "secret" not in str(caught.value).replace(str(file), "")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """It is missing, or no text."""
    with pytest.raises(ConfigError, match="No such file"):
        webhook_url(Alerting(webhook_file=str(tmp_path / "none")))
    (tmp_path / "webhook").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        webhook_url(Alerting(webhook_file=str(tmp_path / "webhook")))
