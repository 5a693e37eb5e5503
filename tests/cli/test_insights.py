from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from routecast.models.capacity import Capacity, ScaleHint
from routecast.models.insights import Change, Recommendations, Subject, Trends
from routecast.models.recommendation import Effect, Recommendation

Command = Callable[..., Any]
A = Subject(kind="target", id="a", provider="p-a", service="chat")
MAIL = Subject(kind="service", id="mail", service="mail")


def _change(name: str = "c1", **more: object) -> Change:
    now_ms = time.time() * 1000.0
    plain: dict[str, object] = {
        "id": name, "version": 1, "subject": A, "metric": "response_time", "worse": True, "since_ms": now_ms - 420_000.0, "detected_ms": now_ms - 400_000.0,
        "before": 812.0, "after": 2430.0, "statistic": 18.2, "threshold": 14.0, "n": 212,
    }  # fmt: skip
    return Change.model_validate(plain | more)


def _trends(service: str, *trends: tuple[Subject, str, str, float, float]) -> Trends:
    now_ms = time.time() * 1000.0
    return Trends.model_validate(
        {
            "service": service, "at_ms": now_ms, "trends": [
                {"subject": subject, "metric": metric, "trend": trend, "previous": was, "current": now, "change_ratio": now / was - 1, "confidence": 0.99,
                 "windows": 60, "window_ms": 60_000.0, "end_ms": now_ms} for subject, metric, trend, was, now in trends
            ],
        }
    )  # fmt: skip


def _everything(make_alert: Command) -> list[Any]:
    now_ms = time.time() * 1000.0
    return [
        make_alert("aa1"),
        _change(), _change("c2", ended_ms=now_ms, ended_by="returned"),
        _trends("chat", (A, "error_ratio", "declining", 0.01, 0.031), (A, "response_time", "stable", 800.0, 810.0)),
        _trends("mail", (MAIL, "quality", "improving", 0.7, 0.84), (MAIL, "throughput", "unknown", 10.0, 12.0)),
        Recommendations(
            service="chat", at_ms=now_ms, recommendations=(
                Recommendation(id="drain/a", kind="drain", priority="high", subject=A, description="Target a fails", action="routecast targets drain a",
                               effects=(Effect(figure="p95_ms", now=2400.0, expected=910.0),), since_ms=now_ms - 60_000.0),
            ),
        ),
        Capacity(service="chat", at_ms=now_ms, now_per_min=600.0, sustainable_per_min=900.0, low_per_min=850.0, high_per_min=960.0, limit_ms=500.0,
                 scale=ScaleHint(action="up", slots=12, reason="the limit is reached in 20 min")),
    ]  # fmt: skip


def test_one_screen_says_what_is_true_now(routecast: Command, say: Command, make_alert: Command) -> None:
    """Every section with its figures and units, times as ages, what gets worse before what gets better; no colour on a pipe."""
    say(*_everything(make_alert), (b"alert/x", b"nonsense"))
    shown = routecast("insights")
    assert (shown.returncode, shown.stderr.splitlines()[-1]) == (0, "routecast: 1 records in the topic of insights are none and were left out")
    assert "\x1b" not in shown.stdout
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    for line in (
        "Alerts 1 going on, 1 of them to be heard; `routecast alerts show ID` has the evidence",
        "critical aa1 4 min Target a (p-a m) is out of service",
        "worse a response time 812 ms 2,430 ms 7 min 212",
        "Trends 2 get better or worse; 1 stable, 1 not known",
        "declining a error ratio 1 % 3.1 % +210 % 1 h 99 %",
        "improving service mail quality 0.70 0.84 +20 % 1 h 99 %",
        "high Target a fails routecast targets drain a p95_ms 2400 → 910",
        "up +12 chat 600/min 900/min (850 to 960) the limit is reached in 20 min",
    ):
        assert line in lines
    assert lines.index("declining a error ratio 1 % 3.1 % +210 % 1 h 99 %") < lines.index("improving service mail quality 0.70 0.84 +20 % 1 h 99 %")


def test_a_part_of_it_as_text_or_json(routecast: Command, say: Command, make_alert: Command) -> None:
    """Of one service, of some kinds; lines with tabs for pipes."""
    say(*_everything(make_alert))
    rows = [line.split("\t") for line in routecast("insights", "--plain").stdout.splitlines()]
    assert rows[0] == ["kind", "about", "what", "level", "since_ms", "said"]
    assert [row[:4] for row in rows[1:]] == [
        ["alert", "a", "error_rate", "critical"], ["change", "a", "response_time", "worse"], ["trend", "a", "error_ratio", "declining"],
        ["trend", "service mail", "quality", "improving"], ["recommendation", "a", "drain", "high"], ["capacity", "service chat", "load", "up"],
    ]  # fmt: skip
    found = json.loads(routecast("insights", "--json", "--service", "mail", "--kind", "trend,alert").stdout)
    assert (found["alerts"], len(found["trends"]), found["capacity"]) == ([], 2, [])
    assert routecast("insights", "--service", "mial").stderr == "routecast: no service 'mial'; did you mean 'mail'?\n"
    wrong = routecast("insights", "--kind", "weather")
    assert (wrong.returncode, wrong.stderr) == (2, "routecast: no kind 'weather': there are alert, change, trend, recommendation, capacity, experiment\n")


def test_nothing_at_all_is_said_in_words(routecast: Command, say: Command) -> None:
    """A new installation shows why it is empty, and that nobody publishes."""
    say()
    shown = routecast("insights")
    assert (shown.returncode, shown.stderr) == (0, "routecast: no snapshot was ever published: `routecast worker` starts a worker\n")
    assert shown.stdout.split("\n\n") == [
        "Alerts  none: nobody needs to be woken",
        "Changes  none: every target is as it usually is",
        "Trends  none yet: they need some minutes of traffic",
        "Recommendations  none: nothing that would help is known",
        "Capacity  not estimated yet: `routecast capacity` does it now\n",
    ]


def test_what_becomes_true_is_followed(
    command_line: Command, environ: dict[str, str], say: Command, make_alert: Command, config_file: Any, eventually: Command
) -> None:
    """One line for what begins, changes or ends, none for what is only said again; Ctrl-C ends it with 0."""
    say(make_alert("aa1"), _change())
    out = config_file.parent / "followed"
    with out.open("wb") as file:
        process = subprocess.Popen(
            command_line("insights", "--follow", "--plain"), stdout=file, stderr=subprocess.DEVNULL, env=environ | {"PYTHONUNBUFFERED": "1"}
        )
    try:
        eventually(lambda: "change\ta" in out.read_text())
        say(
            make_alert("aa1", version=2), make_alert("bb2", kind="quality", severity="medium", title="poor"),
            _change(version=2, ended_ms=1.0, ended_by="returned"),
            make_alert("aa1", version=3, state="cleared", title="over now"), _trends("chat", (A, "quality", "improving", 0.7, 0.8)),
        )  # fmt: skip
        eventually(lambda: "improving" in out.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
    followed = [line.split("\t") for line in out.read_text().splitlines()[3:]]
    assert [(row[0], row[2], row[3], row[5]) for row in followed] == [
        ("alert", "quality", "medium", "poor"),
        ("change", "response_time", "over", "response time 812 ms → 2,430 ms, and back again"),
        ("alert", "error_rate", "over", "over now"),
        ("trend", "quality", "improving", "quality 0.70 → 0.80"),
    ]
