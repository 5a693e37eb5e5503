from __future__ import annotations

from routecast.analytics.alerts.silences import MOST, Match, Silences
from routecast.models.events import Control
from routecast.models.insights import Subject

A = Subject(kind="target", id="a", provider="p", service="chat")


def test_a_silence_is_for_what_it_names_and_no_more() -> None:
    """Kind, subject or severity; a service or a provider stands for all of its targets."""
    assert Match().fits("quality", A, "critical")
    assert Match(subject="a").fits("quality", A, "low")
    assert Match(subject="chat").fits("quality", A, "low")
    assert Match(subject="p", kind="quality").fits("quality", A, "low")
    assert not Match(subject="b").fits("quality", A, "low")
    assert not Match(kind="error_rate").fits("quality", A, "low")
    assert Match(severity="medium").fits("quality", A, "medium")
    assert not Match(severity="medium").fits("quality", A, "high")


def test_silences_end_and_can_be_taken_back() -> None:
    """The same match again changes its end; of several the longest counts."""
    silences = Silences()
    silences.add(Match(subject="a"), 1000.0)
    silences.add(Match(), 500.0)
    assert silences.until_ms("quality", A, "low") == 1000.0
    silences.add(Match(subject="a"), 0.0)
    silences.advance(100.0)
    assert silences.until_ms("quality", A, "low") == 500.0
    silences.advance(500.0)
    assert silences.until_ms("quality", A, "low") is None


def test_silences_are_bounded() -> None:
    """What ends first makes room."""
    silences = Silences()
    for number in range(MOST + 1):
        silences.add(Match(subject=str(number)), 1000.0 + number)
    assert silences.until_ms("quality", A.model_copy(update={"id": "0"}), "low") is None
    assert silences.until_ms("quality", A.model_copy(update={"id": "1"}), "low") == 1001.0


def test_an_operator_says_what_a_silence_is_for() -> None:
    """What a word leaves open is everything."""
    word = Control(at_ms=1.0, action="silence", alert="quality", subject="chat", severity="high", until_ms=2.0)
    assert Match.of(word) == Match("quality", "chat", "high")
    assert Match.of(Control(at_ms=1.0, action="unsilence")) == Match()
