from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from routecast import Router
from routecast.analytics.simulation.simulator import EventQueue
from routecast.cli.demo_report import raise_disagreement
from routecast.demo.demonstration import written_config
from routecast.demo.live import Pacer, Time, _checks
from routecast.freshness import Arrivals
from routecast.models.config import Kafka
from routecast.models.details import Details, OutcomesTotal, SubjectDetails
from routecast.models.errors import CheckFailed
from routecast.models.report import LiveReport
from routecast.streams.brokers.admin import topics
from routecast.streams.clock import FixedClock
from routecast.streams.configuration import load_config
from routecast.testing import Fleet

pytestmark = pytest.mark.alone  # the fleet keeps to real time

ROOT = Path(__file__).parents[2]
SHORT = ("--duration", "60", "--speed", "8")
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where a demonstration puts its temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def _start(scratch: Path, *arguments: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROUTECAST_")}
    command = [sys.executable, "-m", "routecast.cli", "demo", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=kept | {"TMPDIR": str(scratch)})


def _wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    seen: list[str] = []
    for line in process.stderr:
        seen.append(line)
        if words in line:
            return
    pytest.fail(f"it did not say {words!r}: {''.join(seen)}")


def _processes(scratch: Path) -> list[str]:
    """Command lines that name something in this folder: brokers and workers of a demonstration."""
    return subprocess.run(["pgrep", "-a", "-f", str(scratch)], capture_output=True, text=True, check=False).stdout.splitlines()


def test_the_pipelines_counts_are_the_truth(kafka: Kafka, scratch: Path, run: Run) -> None:
    """Through real routers, brokers and two workers; topics, processes and files are gone afterwards."""
    demo = _start(scratch, "--kafka", f"kafka://{kafka.bootstrap}", *SHORT, "--routers", "4", "--json")
    out, err = demo.communicate(timeout=110)
    assert demo.returncode == 0, err
    report = LiveReport.model_validate_json(out)
    assert [check for check in report.checks if not check.agrees] == []
    assert sum(check.truth for check in report.checks) > report.requests > 1000
    assert (report.workers, report.routers, report.dropped) == (2, 4, 0)
    assert len(report.decisions) == 3
    assert report.freshness is not None
    assert report.freshness.n > 4 * report.requests
    assert 0 < report.freshness.p50_ms <= report.freshness.p95_ms <= report.freshness.p99_ms <= report.freshness.max_ms
    states = run(topics(kafka.model_copy(update={"prefix": report.prefix})))
    assert [state.name for state in states if state.exists] == []
    assert (_processes(scratch), list(scratch.iterdir())) == ([], [])


@pytest.mark.usefixtures("broker_tools")
@pytest.mark.parametrize("moment", ["starting 2 workers", "playing"])
def test_ctrl_c_ends_everything(moment: str, scratch: Path) -> None:
    """A broker of its own and two workers; no report, exit code 130, nothing left."""
    demo = _start(scratch, "--kafka", "auto", *SHORT)
    _wait_for(demo, moment)
    assert _processes(scratch) != []
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=60)
    assert (demo.returncode, out) == (130, "")
    assert "ended, with everything that was started" in err
    assert (_processes(scratch), list(scratch.iterdir())) == ([], [])


def test_without_java_auto_says_what_is_missing(scratch: Path) -> None:
    """And what else one can do; exit code 4."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROUTECAST_")}
    command = [sys.executable, "-m", "routecast.cli", "demo", "--kafka", "auto"]
    shown = subprocess.run(command, capture_output=True, text=True, env=kept | {"PATH": str(scratch), "TMPDIR": str(scratch)}, check=False)
    assert (shown.returncode, shown.stdout) == (4, "")
    assert "needs java" in shown.stderr
    assert "kafka://host:9092" in shown.stderr
    assert list(scratch.iterdir()) == []


def test_forever_lasts_until_sigterm_and_leaves_nothing_open(
    kafka: Kafka, tmp_path: Path, scratch: Path, start_worker: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    """Beside workers that run already; calls that nobody waits for any more are reported as cancelled."""
    file = tmp_path / "demo.toml"
    file.write_text(f'{written_config()}\n[kafka]\nprefix = "{kafka.prefix}"\n')
    config, url = load_config(file, {}), f"kafka://{kafka.bootstrap}"
    start_worker(file, "--kafka", url).wait_for("ready")
    demo = _start(scratch, "--kafka", url, "--config", str(file), "--workers", "0", "--forever", *SHORT)
    _wait_for(demo, "playing")
    with Router.connect_sync(url, config) as router:
        eventually(lambda: (system := router.system()) is not None and system.in_flight > 0)
        demo.terminate()
        assert demo.wait(60) == 0
        eventually(lambda: (system := router.system()) is not None and system.in_flight == 0 and system.outcomes_total.cancelled > 0)
    demo.communicate()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--speed", "2"), 2, "--speed: only together with --kafka"),
        (("--kafka", "auto", "--policy", "greedy", "--policy", "random"), 2, "one --policy at a time"),
        (("--kafka", "auto", "--forever", "--json"), 2, "--forever has no report"),
        (("--kafka", "auto", "--workers", "0"), 3, "give --kafka kafka://host:9092"),
        (("--kafka", "auto", "--config", str(ROOT / "examples" / "routecast.toml")), 3, "--write-config"),
        (("--kafka", "kafka://127.0.0.1:9"), 4, "cannot be reached"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(arguments: tuple[str, ...], code: int, words: str, scratch: Path) -> None:
    """With the exit code of its kind, before anything was started."""
    demo = _start(scratch, *arguments)
    out, err = demo.communicate(timeout=60)
    assert (demo.returncode, out, err.count("\n")) == (code, "", 1)
    assert words in err
    assert list(scratch.iterdir()) == []


def test_the_example_configuration_is_the_demonstrations(tmp_path: Path, scratch: Path) -> None:
    """What the command writes, what stands in the examples, and a configuration that can be read."""
    demo = _start(scratch, "--write-config", str(tmp_path / "demo.toml"))
    demo.communicate(timeout=60)
    assert (tmp_path / "demo.toml").read_text() == (ROOT / "examples" / "demo.toml").read_text() == written_config()
    assert len(load_config(tmp_path / "demo.toml", {}).target) == 10


def test_a_wrong_count_is_noticed() -> None:
    """What was there before is taken off; one too many of one target is an error that names both figures."""
    system = SubjectDetails(id="system")
    target = SubjectDetails(id="a", outcomes_total=OutcomesTotal(ok=12, error=1))
    service = SubjectDetails(id="chat", in_flight=0)
    details = Details(service="chat", term=1, seq=1, at_ms=0, targets=(target,), services=(service,), system=system)
    before, truth = Counter({("a", "ok"): 10}), Counter({("a", "started"): 3, ("a", "ok"): 2, ("a", "error"): 1})
    raise_disagreement(_checks(details, before, truth))
    with pytest.raises(CheckFailed, match="pipeline: ok: pipeline 12, truth 2"):
        raise_disagreement(_checks(details, Counter(), truth))


def test_a_router_without_news_is_noticed() -> None:
    """It has seen less than two snapshots; one that was not seen has arrived with the next."""
    config = load_config(ROOT / "examples" / "demo.toml", {})
    fleet = Fleet(config, routers=1)
    arrivals = Arrivals([fleet.router(0)])
    seen: list[tuple[int, int]] = []
    for _ in range(3):
        assert arrivals.silent == (len(seen) < 2)
        fleet.advance_to(fleet.now_ms + 2500.0)
        arrivals.look()
        snapshot = fleet.router(0).snapshot
        assert snapshot is not None
        seen.append(snapshot.version)
    term, seq = seen[1]
    assert arrivals.after((term, seq - 1)) == arrivals.after((term, seq)) == [fleet.now_ms - 2500.0]
    assert arrivals.after((term + 1, 0)) == []


def test_a_queue_that_waits_for_the_clock_does_not_drift() -> None:
    """At four times the speed; what comes late does not make the rest late, and is measured."""
    clock, ran = FixedClock(1000.0), list[tuple[str, float]]()
    work_ms = 0.0

    def sleep(seconds: float) -> None:
        clock.at_ms += seconds * 1000.0 + 1e-6

    def happen(name: str) -> None:
        ran.append((name, clock.at_ms))
        clock.at_ms += work_ms

    queue = EventQueue(pace=Pacer(Time(clock, sleep, 4.0), lambda _: None))
    queue.at(400.0, happen, "first")
    queue.advance_to(400.0)
    work_ms = 150.0
    queue.at(800.0, happen, "long")
    queue.at(1000.0, happen, "late")
    queue.at(8000.0, happen, "in time")
    queue.advance_to(8000.0)
    assert [name for name, _ in ran] == ["first", "long", "late", "in time"]
    assert [at_ms for _, at_ms in ran] == pytest.approx([1100.0, 1200.0, 1350.0, 3000.0])


def test_a_pacer_says_how_late_things_were() -> None:
    """The most, in real seconds."""
    clock = FixedClock(0.0)
    pacer = Pacer(Time(clock, lambda seconds: setattr(clock, "at_ms", clock.at_ms + seconds * 1000.0), 2.0), lambda _: None)
    pacer(1000.0)
    assert pacer.behind_s == pytest.approx(0.0)
    clock.at_ms = 900.0
    pacer(1200.0)
    pacer(2000.0)
    assert pacer.behind_s == pytest.approx(0.3)
    assert pacer.took_s == pytest.approx(1.0)
