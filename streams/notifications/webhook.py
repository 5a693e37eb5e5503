"""The address of a webhook, what its answers mean, and when to try again.

The address is a secret, since whoever knows it can post there: it is read from a file, and no message of ours contains it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from routecast.models.config import Alerting
from routecast.models.errors import ConfigError
from routecast.models.notification import Notification

LONGEST_WAIT_S: Final = 60.0
"""Between two tries, whatever the receiver asks for."""
_FIRST_WAIT_S: Final = 0.5
_PASSING: Final = frozenset({408, 425, 429})
"""Refusals that say: later."""

Verdict = Literal["delivered", "again", "refused"]


class Answer(NamedTuple):
    """What came of a post."""

    status: int
    """Of HTTP; 0 where nothing came back."""
    message: str = ""
    """What the receiver says, or why there is no answer."""
    retry_after: str = ""
    """The header, as it came."""

    @property
    def verdict(self) -> Verdict:
        """`again` where it may be otherwise later; `refused` where the same post would be refused again."""
        if 200 <= self.status < 300:
            return "delivered"
        return "again" if self.status == 0 or self.status >= 500 or self.status in _PASSING else "refused"

    @property
    def said(self) -> str:
        """In a few words."""
        return f"{self.status}: {self.message or 'no reason given'}" if self.status else self.message


Post = Callable[[Notification], Awaitable[Answer]]
"""Never raises for what is wrong out there."""


def wait_s(tries: int, retry_after: str, now_ms: float, luck: float) -> float:
    """How long to wait after so many tries in vain (from 1): exponential with full jitter, or longer where the receiver asks for it, 60 s at most.

    `retry_after` is its header, `luck` uniform in 0..1.
    """
    most_s = min(LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(tries, 10))
    return max(luck * most_s, min(LONGEST_WAIT_S, advised_s(retry_after, now_ms)))


def advised_s(header: str, now_ms: float) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date (RFC 9110, 10.2.3); 0 where it says neither."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_ms / 1000.0)
    except (ValueError, OverflowError):
        return 0.0


def webhook_url(settings: Alerting) -> str | None:
    """The address in the file of `alerts.webhook_file`; None where there is none to tell. Raises ConfigError for one that cannot be used."""
    file = settings.webhook_file
    if file is None:
        return None
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
        raise ConfigError(f"alerts.webhook_file = {file!r} {reason}; it holds the URL of a webhook and nothing else") from None
    if not _usable(text):
        raise ConfigError(f"alerts.webhook_file = {file!r} holds no address: write one such as https://host/path into it, and nothing else")
    return text


def _usable(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and text.isprintable() and " " not in text
    except ValueError:
        return False
