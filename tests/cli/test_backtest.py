from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import parse

import pytest

from routecast.analytics.simulation.servers import Queueing
from routecast.analytics.simulation.simulator import EventQueue
from routecast.cli.app import run
from routecast.models.backtest import Backtest
from routecast.models.config import Config
from routecast.models.events import Completed, DecisionRef, Outcome, encode_events
from routecast.streams.configuration_file import as_toml
from routecast.streams.memory import Record
from routecast.streams.recordings.recording import RecordingWriter

Ran = subprocess.CompletedProcess[str]
Command = Callable[..., Ran]
START_MS = 1_700_000_000_000.0
CONFIG = Config.model_validate({"target": [{"id": name, "provider": "p", "model": "m", "service": "chat", "output_usd_per_mtok": 10} for name in "ab"]})
POLICIES = ("--policy", "performance", "--policy", "round_robin")


def traffic(n: int) -> list[Completed]:
    """Requests at 20 a second, half at `a` (50 ms, 2 slots), half at `b` (150 ms, 3 slots), drawn at random; `b` fails from 15 to 25 s."""
    luck, queue, ended = random.Random(3), EventQueue(START_MS), list[Completed]()
    servers, times = {"a": Queueing(queue, 2), "b": Queueing(queue, 3)}, {"a": 50.0, "b": 150.0}

    def done(number: int, target: str, at_ms: float, outcome: Outcome) -> None:
        decision = DecisionRef(policy="random", snapshot=(0, 0), propensity=0.5, candidates="3")
        common: dict[str, Any] = {"request_id": f"r{number}", "target": target, "service": "chat", "emitter": f"e{number % 2}", "output_tokens": 100}
        took_ms = queue.now_ms - at_ms
        ended.append(Completed(at_ms=queue.now_ms, started_at_ms=at_ms, duration_ms=took_ms, outcome=outcome, decision=decision, **common))

    for number in range(n):
        queue.advance_to(queue.now_ms + luck.expovariate(1 / 50.0))
        target = luck.choice("ab")
        end = partial(done, number, target, queue.now_ms)
        if target == "b" and 15_000 <= queue.now_ms - START_MS < 25_000:
            queue.after(5.0, end, "error")
        else:
            servers[target].submit(luck.lognormvariate(0, 0.3) * times[target], end)
    queue.advance_to(queue.now_ms + 60_000.0)
    return ended


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty seconds of traffic with their configuration."""
    file = tmp_path_factory.mktemp("backtest") / "friday.routecast"
    with RecordingWriter(file, "routecast.") as out:
        for offset, event in enumerate(traffic(800)):
            out.add("events", 0, Record(offset, event.at_ms, b"", encode_events([event])))
        out.add("state", 0, Record(0, START_MS, b"config/v", CONFIG.model_dump_json().encode()))
    return file


@pytest.fixture
def backtest(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `backtest` to its end, in this process: numpy and the pipeline are slow to import."""

    def ran(*arguments: object) -> Ran:
        words = ["routecast", "backtest", *map(str, arguments)]
        monkeypatch.setattr("sys.argv", words)
        code = run()
        said = capsys.readouterr()
        return Ran(words, code, said.out, said.err)

    for name in [name for name in os.environ if name.startswith("ROUTECAST_")]:
        monkeypatch.delenv(name)
    return ran


def test_a_recording_is_played_under_every_policy(backtest: Command, recording: Path, tmp_path: Path) -> None:
    """A verdict, a table with intervals, the outage that all met, what the log says, and a report; a true condition is exit code 5, and JUnit says so."""
    html, junit = tmp_path / "report.html", tmp_path / "out.xml"
    conditions = ("--fail-if", "p95_ms>60000", "--fail-if", "round_robin:mean_ms > 10")
    ran = backtest(recording, *POLICIES, "--seeds", 2, *conditions, "--html", html, "--junit", junit)
    assert (ran.returncode, "Traceback" in ran.stderr) == (5, False), ran.stderr
    assert "round_robin: round_robin:mean_ms > 10 is true, it is" in ran.stderr
    for words in ("simulated with fitted service times of 2 targets; 2 seeds", "A request takes", "100% of the calls failed", "Again: routecast backtest",
                  "The log says nothing of", "No alert named", "passed: performance: p95_ms>60000", "FAILED: round_robin"):  # fmt: skip
        assert words in ran.stdout, words
    assert "The recorded policy was random" not in ran.stdout
    assert "<h2>Two answers</h2>" in html.read_text()
    assert parse(junit).getroot().get("failures") == "1"


def test_a_backtest_is_data_and_the_same_again(backtest: Command, recording: Path, tmp_path: Path) -> None:
    """As JSON the model comes back, with the outage at its time and costs by the configured price; equal arguments give equal bytes; labels judge alerts."""
    labels = tmp_path / "labels.toml"
    labels.write_text('[[incident]]\ntarget = "b"\nfrom = 15\nto = 25\nkind = "error_rate"\n')
    arguments = (recording, "--policy", "random", "--policy", "performance", "--seeds", 1, "--jobs", 1, "--labels", labels, "--json")
    ran, again = backtest(*arguments), backtest(*arguments)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == again.stdout
    report = Backtest.model_validate_json(ran.stdout)
    assert [it.name for it in report.policies] == ["random", "performance"]
    (spell,) = report.spells
    assert (spell.target, spell.kind) == ("b", "failing")
    assert [spell.from_s, spell.until_s] == pytest.approx([15, 25], abs=0.5)
    assert report.labelled
    assert [it.target for it in report.labels] == ["b"]
    usd = report.policies[0].figures.usd_per_request
    assert usd is not None
    assert usd.value == pytest.approx(0.001)
    (failover,) = report.policies[1].failovers
    assert failover.left_after_s is not None
    assert failover.left_after_s < 5
    seen = report.fidelity
    assert seen is not None
    assert (seen.policy, seen.simulated is not None) == ("random", True)
    assert seen.recorded["failed_ratio"] == pytest.approx(0.5 * 10 / 38, abs=0.03)


def test_a_configuration_can_be_a_policy(backtest: Command, recording: Path, tmp_path: Path) -> None:
    """Its own policy and weights count; a target that was never recorded is refused with a word."""
    heavy = CONFIG.model_copy(update={"routing": CONFIG.routing.model_copy(update={"policy": "round_robin"})})
    heavy = heavy.model_copy(update={"target": (heavy.target[0].model_copy(update={"weight": 9.0}), heavy.target[1])})
    file = tmp_path / "heavy.toml"
    file.write_text(as_toml(heavy))
    ran = backtest(recording, "--policy", f"heavy={file}", "--seeds", 1, "--json")
    assert ran.returncode == 0, ran.stderr
    (answer,) = json.loads(ran.stdout)["policies"]
    assert (answer["name"], answer["policy"]) == ("heavy", "round_robin")
    assert answer["shares"]["a"] == pytest.approx(0.9, abs=0.05)
    file.write_text(as_toml(heavy).replace('"b"', '"c"'))
    ran = backtest(recording, "--policy", f"heavy={file}", "--seeds", 1)
    assert ran.returncode == 3
    assert "nothing is known of 'c', only of a, b" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--seeds", 1), 2, "either FILE or --trace"),
        (("--trace", "azur"), 2, "choose among azure, mooncake, servegen"),
        (("--trace", "mooncake"), 3, "set ROUTECAST_TRACES"),
        (("FILE", "--policy", "best"), 2, "no policy"),
        (("FILE", "--policy", "random", "--policy", "random"), 2, "named twice"),
        (("FILE", "--fail-if", "p95>2"), 2, "there is no metric 'p95'; there are mean_ms"),
        (("FILE", "--labels", "nowhere.toml"), 3, "'nowhere.toml' does not exist"),
    ],
)
def test_a_wrong_word_is_told_at_once(backtest: Command, recording: Path, arguments: tuple[object, ...], code: int, said: str) -> None:
    """With what there is instead."""
    ran = backtest(*(recording if word == "FILE" else word for word in arguments))
    assert ran.returncode == code, ran.stderr
    assert said in " ".join(ran.stderr.replace("│", " ").split())
