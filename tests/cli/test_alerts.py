from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from routecast.models.insights import Subject

Command = Callable[..., Any]
NEVER = "routecast: no snapshot was ever published: `routecast worker` starts a worker\n"


def test_alerts_that_go_on_are_listed_the_most_severe_first(routecast: Command, say: Command, make_alert: Command) -> None:
    """With those that an alert explains behind it; of a severity, of a service; those that are over on request. Unheard ones are left out."""
    now_ms = time.time() * 1000.0
    c = Subject(kind="target", id="c", service="mail")
    say(
        make_alert("aa1"), make_alert("bb2", kind="response_time", inhibited_by="aa1", title="slow"), make_alert("cc3", severity="medium", subject=c),
        make_alert("dd4", state="cleared", ended_ms=now_ms), make_alert("ee5", severity="high", at_ms=now_ms - 7_200_000.0),
        make_alert("ff6", severity="low", subject=c, silenced_until_ms=now_ms + 7_200_000.0 + 30_000.0),
    )  # fmt: skip
    listed = routecast("alerts", "list", "--plain")
    assert (listed.returncode, listed.stderr) == (0, NEVER)
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    assert [(row[0], row[1], row[8]) for row in rows[1:]] == [
        ("aa1", "critical", "yes"),
        ("bb2", "critical", "no"),
        ("cc3", "medium", "no"),
        ("ff6", "low", "no"),
    ]
    shown = routecast("alerts", "list").stdout
    assert "critical  aa1  4 min  Target a (p-a m) is out of service" in shown
    assert "explained by aa1" in shown
    assert "silenced for 2 h" in shown
    assert "\x1b" not in shown
    found = json.loads(routecast("alerts", "list", "--json", "--severity", "medium", "--service", "mail").stdout)
    assert [alert["id"] for alert in found["alerts"]] == ["cc3"]
    assert {line.split("\t")[0] for line in routecast("alerts", "list", "--all", "--plain").stdout.splitlines()[1:]} == {
        "aa1",
        "bb2",
        "cc3",
        "dd4",
        "ee5",
        "ff6",
    }
    assert routecast("alerts", "list", "--severity", "urgent").returncode == 2


def test_without_alerts_that_is_said(routecast: Command, say: Command) -> None:
    """An empty table would leave people wondering."""
    say()
    assert routecast("alerts", "list").stdout == "no alert goes on: nobody needs to be woken\n"
    assert routecast("alerts", "list", "--all").stdout == "there was no alert, as far as the log goes back\n"


def test_an_alert_is_shown_with_what_it_has_to_do_with(routecast: Command, say: Command, make_alert: Command) -> None:
    """Evidence, incident, what explains it and what it explains; its id may be shortened while it is the only one."""
    say(make_alert("aa1", severity="high"), make_alert("ab2", kind="response_time", incident="aa1", inhibited_by="aa1", severity="medium"))
    shown = routecast("alerts", "show", "aa")
    assert (shown.returncode, shown.stderr) == (0, NEVER)
    assert "Target a (p-a m) is out of service" in shown.stdout.splitlines()[0]
    assert "1 h     1200  528  88 × allowed   82.4 × allowed to 93.6 × allowed" in shown.stdout
    assert "explains  ab2  medium" in shown.stdout
    story = json.loads(routecast("alerts", "show", "ab2", "--json").stdout)
    assert (story["going_on"], story["explained_by"]["id"], [other["id"] for other in story["incident"]]) == (True, "aa1", ["aa1"])
    missing = routecast("alerts", "show", "a")
    assert (missing.returncode, missing.stdout, missing.stderr) == (2, "", "routecast: no alert 'a'; did you mean 'aa1', 'ab2'?\n")


def _with_webhook(config_file: Path, url: str) -> None:
    (config_file.parent / "webhook").write_text(url)
    config_file.write_text(f'{config_file.read_text()}\n[alerts]\nwebhook_file = "{config_file.parent / "webhook"}"\ntimeout_ms = 500\n')


def test_the_webhook_is_tried_with_a_test_that_says_it_is_one(routecast: Command, receiver: Any, config_file: Path) -> None:
    """What comes back is told; nobody can take it for an alert."""
    _with_webhook(config_file, receiver.url)
    tried = routecast("alerts", "test")
    assert (tried.returncode, tried.stderr) == (0, "")
    assert tried.stdout.startswith("the webhook took the test (200) after ")
    ((key, body),) = receiver.posts
    assert key.startswith("test-")
    assert body["text"] == "TEST: a test of the webhook by routecast: nothing is the matter"
    assert (body["test"], body["alert"]["severity"]) == (True, "low")


def test_a_webhook_that_does_not_take_the_test_is_a_failed_check(routecast: Command, receiver: Any, config_file: Path) -> None:
    """Exit code 5 and what it answered, without the address; without a webhook exit code 3."""
    assert routecast("alerts", "test").returncode == 3
    _with_webhook(config_file, receiver.url)
    receiver.script = [(404, {})]
    tried = routecast("alerts", "test")
    assert (tried.returncode, tried.stdout) == (5, "")
    assert tried.stderr.startswith("routecast: the webhook did not take the test (404: ok): check the address in ")
    receiver.held.clear()
    tried = routecast("alerts", "test", "--json")
    assert (tried.returncode, json.loads(tried.stdout)["answer"]) == (5, "no answer within 0.5 s")
    receiver.close()
    tried = routecast("alerts", "test")
    assert (tried.returncode, "Connection refused" in tried.stderr, receiver.url in tried.stderr) == (5, True, False)
