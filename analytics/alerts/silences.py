"""What operators do not want to hear of for some time."""

from __future__ import annotations

from typing import Any, ClassVar, Final, NamedTuple, Self

from routecast.models.events import Control
from routecast.models.insights import Subject
from routecast.models.severity import SEVERITIES, AlertKind, Severity

MOST: Final = 1000
"""Silences kept; the one that ends first makes room."""


class Match(NamedTuple):
    """Which alerts a silence is for; None matches everything."""

    kind: AlertKind | None = None
    subject: str | None = None
    """Id of the target, service or system; or of a target's service or provider, which silences all of its targets too."""
    severity: Severity | None = None
    """The most severe that is silenced."""

    @classmethod
    def of(cls, word: Control) -> Self:
        """The one that an operator's `silence` or `unsilence` names."""
        return cls(word.alert, word.subject or None, word.severity)

    def fits(self, kind: AlertKind, subject: Subject, severity: Severity) -> bool:
        """Whether it is for this alert."""
        return (
            self.kind in {None, kind}
            and self.subject in {None, subject.id, subject.service, subject.provider}
            and (self.severity is None or SEVERITIES.index(severity) <= SEVERITIES.index(self.severity))
        )


class Silences:
    """All that have not ended."""

    STATE: ClassVar[tuple[str, ...]] = ("_all",)

    def __init__(self) -> None:
        self._all: list[list[Any]] = []
        """Until when, and the fields of the match."""

    def add(self, match: Match, until_ms: float) -> None:
        """Silence until then; the same match again changes when it ends, also to the past."""
        self._all = [silence for silence in self._all if silence[1:] != list(match)]
        self._all.append([until_ms, *match])
        self._all = sorted(self._all, key=lambda silence: -silence[0])[:MOST]

    def advance(self, now_ms: float) -> None:
        """Forget those that have ended."""
        self._all = [silence for silence in self._all if silence[0] > now_ms]

    def until_ms(self, kind: AlertKind, subject: Subject, severity: Severity) -> float | None:
        """When the last silence of this alert ends; None: it is not silenced."""
        return next((until_ms for until_ms, *match in self._all if Match(*match).fits(kind, subject, severity)), None)
