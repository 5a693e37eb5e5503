from __future__ import annotations

import itertools
import json

import pytest

from routecast.cli import progress


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds between any two looks at it."""
    ticks = itertools.count(0.0, 10.0)
    monkeypatch.setattr("routecast.cli.progress.time.monotonic", lambda: next(ticks))


def test_on_a_pipe_it_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """As every other message is."""
    with progress.Progress("recording", 300) as told:
        told.tell(200, 0.0)
        told.tell_share(0.5)
    assert capsys.readouterr().err.splitlines() == [
        "routecast: recording: 200 events, up to the beginning, 20 events/s, 5 s left",
        "routecast: recording: 50%, 20 s left",
    ]


def test_with_json_it_is_told_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, for the program that asked."""
    with progress.Progress("playing", json=True) as told:
        told.tell(200, 1000.0)
        told.tell_share(0.5)
    events, share = map(json.loads, capsys.readouterr().err.splitlines())
    assert events == {"doing": "playing", "events": 200, "at_ms": 1000.0, "events_per_s": 20}
    assert share == {"doing": "playing", "share": 0.5, "left_s": 20}
