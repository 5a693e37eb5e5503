from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from routecast.models.config import Config
from routecast.models.events import Control, decode_events
from routecast.streams.brokers.reading import reader

Command = Callable[..., Any]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


async def _words(config: Config) -> list[Control]:
    """Everything on the control topic."""
    async with reader(config.kafka) as read:
        end = (await read.ends("control", [0]))[0]
        events = [event async for record in read.stretch("control", 0, 0, end) for event in decode_events(record.value or b"")[0]]
    return [event for event in events if isinstance(event, Control)]


def test_alerts_are_silenced_for_some_time(routecast: Command, say: Command, make_alert: Command, config: Config, run: Run) -> None:
    """Kinds and subjects mean both, an alert its kind and subject; the same again changes the end; they are listed until then."""
    say(make_alert("aa1", kind="response_time"))
    said = routecast("alerts", "silence", "quality", "a", "mail", "aa1", "--for", "2h", "--why", "a migration", "--wait", "0")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.splitlines() == [
        "silent for 2 h: alerts of kind quality of a",
        "silent for 2 h: alerts of kind quality of mail",
        "silent for 2 h: alerts of kind response_time of a",
    ]
    assert [(word.alert, word.subject, word.why, word.fault) for word in run(_words(config))] == [
        ("quality", "a", "a migration", ""), ("quality", "mail", "a migration", ""), ("response_time", "a", "a migration", ""),
    ]  # fmt: skip
    routecast("alerts", "silence", "quality", "mail", "--for", "30m", "--why", "shorter", "--wait", "0")
    listed = json.loads(routecast("alerts", "silences", "--json").stdout)
    assert [(s["kind"], s["subject"], round((s["until_ms"] - s["since_ms"]) / 60_000)) for s in listed["silences"]] == [
        ("quality", "mail", 30), ("quality", "a", 120), ("response_time", "a", 120),
    ]  # fmt: skip
    assert "quality        mail     any" in routecast("alerts", "silences").stdout

    assert routecast("alerts", "unsilence", "quality", "mail", "--wait", "0").stdout == "heard again: alerts of kind quality of mail\n"
    assert len(json.loads(routecast("alerts", "silences", "--json").stdout)["silences"]) == 2
    assert routecast("alerts", "unsilence", "quality", "mail", "--wait", "0").returncode == 2
    assert routecast("alerts", "unsilence", "--wait", "0", "--json").returncode == 0
    assert routecast("alerts", "silences").stdout == "nothing is silenced\n"


def test_a_silence_needs_to_be_about_something_for_some_time_and_for_a_reason(routecast: Command, say: Command, config: Config, run: Run) -> None:
    """Exit code 2, what there is, and no word is written."""
    say()
    said = routecast("alerts", "silence", "qualty", "--for", "2h", "--why", "x")
    assert (said.returncode, said.stdout, said.stderr) == (2, "", "routecast: no kind, alert or subject 'qualty'; did you mean 'quality'?\n")
    for wrong in (
        ("quality", "--for", "soon", "--why", "x"), ("quality", "--for", "31d", "--why", "x"), ("quality", "--for", "2h"),
        ("quality", "--for", "2h", "--why", " "),
        ("--for", "2h", "--why", "x"), ("quality", "--why", "x"), ("quality", "--for", "2h", "--why", "x", "--severity", "urgent"),
    ):  # fmt: skip
        assert routecast("alerts", "silence", *wrong).returncode == 2
    assert run(_words(config)) == []


def test_a_silence_is_taken_by_the_leader(routecast: Command, config_file: Any, start_worker: Command) -> None:
    """The command waits for that; without a leader it says that the word is kept."""
    worker = start_worker(config_file)
    worker.wait_for("ready")
    said = routecast("alerts", "silence", "a", "--for", "1h", "--why", "x")
    assert (said.returncode, said.stdout) == (0, "silent for 1 h: all alerts of a\n")
    worker.stop()
    said = routecast("alerts", "silence", "system", "--severity", "high", "--for", "1h", "--why", "x", "--wait", "2")
    assert said.returncode == 1
    assert "no worker leads: nothing was published within 2 s. The word is kept" in said.stderr
    assert "is no word" not in worker.said
