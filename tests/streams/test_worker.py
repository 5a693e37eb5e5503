from __future__ import annotations

import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from routecast.models.config import Kafka
from routecast.servers.kafka import LocalBroker
from routecast.streams.brokers.admin import topics
from routecast.streams.worker import Seldom

pytestmark = pytest.mark.alone  # it watches processes come and go

Start = Callable[..., Any]
Run = Callable[..., Any]
Eventually = Callable[..., None]

_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) \d+ [\w.]+: .+")


def test_a_worker_makes_the_topics_and_stops_when_told(start_worker: Start, config_file: Path, kafka: Kafka, run: Run) -> None:
    """Everything it says has one form, one line each; it writes nothing else."""
    worker = start_worker(config_file)
    worker.wait_for("ready: partitions [0, 1, 2, 3]")
    assert [state.differences for state in run(topics(kafka)) if state.differences] == []
    assert worker.stop() == 0
    assert [line for line in worker.said.splitlines() if not _LINE.fullmatch(line)] == []


def test_the_ready_file_exists_while_all_processes_are_ready(start_worker: Start, config_file: Path, tmp_path: Path, eventually: Eventually) -> None:
    """A process that was killed is started again; meanwhile not all are ready, and its partitions are the other's."""
    ready = tmp_path / "ready"
    supervisor = start_worker(config_file, "--workers", "2", "--ready-file", str(ready))
    eventually(ready.exists)
    first, second = psutil.Process(supervisor.process.pid).children()
    first.kill()
    eventually(lambda: not ready.exists())
    eventually(ready.exists)
    assert second.is_running()
    assert "ended with -9, starting another" in supervisor.said
    children = psutil.Process(supervisor.process.pid).children()
    assert supervisor.stop() == 0
    assert [child for child in children if child.is_running()] == []
    assert list(tmp_path.glob("ready*")) == []


def test_workers_stop_in_good_order_when_their_supervisor_is_killed(start_worker: Start, config_file: Path, tmp_path: Path, eventually: Eventually) -> None:
    """Nobody could stop them later: they notice by themselves, and are no longer ready."""
    ready = tmp_path / "ready"
    supervisor = start_worker(config_file, "--workers", "2", "--ready-file", str(ready))
    eventually(ready.exists)
    workers = psutil.Process(supervisor.process.pid).children()
    supervisor.process.kill()
    eventually(lambda: not any(worker.is_running() for worker in workers))
    assert list(tmp_path.glob("ready.*")) == []
    assert "Traceback" not in supervisor.said


@pytest.mark.usefixtures("broker_tools")
def test_a_worker_stops_when_told_while_no_broker_answers(start_worker: Start, config_file: Path, tmp_path: Path) -> None:
    """Within 30 s, and it is no longer ready; the next owner rebuilds from the log what could not be written."""
    ready = tmp_path / "ready"
    with LocalBroker(tmp_path / "kafka") as broker:
        worker = start_worker(config_file, "--kafka", f"kafka://{broker.bootstrap}", "--ready-file", str(ready))
        worker.wait_for("leading with term")
        worker.wait_for("ready")
        broker.kill()
    assert ready.exists()
    assert worker.stop() == 0
    assert not ready.exists()
    assert "nothing is lost" in worker.said


def test_a_worker_that_stood_still_ends_before_it_writes(start_worker: Start, config_file: Path, kafka: Kafka, eventually: Eventually) -> None:
    """Somebody else has its partitions by then."""
    worker = start_worker(config_file)
    worker.wait_for("ready")
    process = psutil.Process(worker.process.pid)
    process.suspend()
    until_s = time.monotonic() + 1.2 * kafka.session_timeout_ms / 1000.0  # the other may have them earlier: the session began with the last heartbeat
    other = start_worker(config_file)
    other.wait_for("ready: partitions [0, 1, 2, 3]")
    eventually(lambda: time.monotonic() > until_s)
    process.resume()
    eventually(lambda: worker.process.poll() is not None)
    assert worker.process.returncode == 75
    assert "stood still" in worker.said
    assert other.process.poll() is None


def test_without_brokers_a_worker_says_what_to_check(tmp_path: Path, config_file: Path) -> None:
    """One sentence and exit code 4."""
    ran = subprocess.run(
        [sys.executable, "-m", "routecast.cli", "worker", "--config", str(config_file), "--kafka", "kafka://127.0.0.1:1"],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 4
    assert "Kafka at '127.0.0.1:1' cannot be reached" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_without_its_extra_a_worker_says_what_to_install(tmp_path: Path, config_file: Path) -> None:
    """No stack trace, exit code 3."""
    program = "import sys; sys.modules['faust'] = None\nimport routecast.cli; routecast.cli.main()"
    ran = subprocess.run(
        [sys.executable, "-c", program, "worker", "--config", str(config_file)], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert ran.returncode == 3
    assert "pip install 'routecast[streams]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_what_clients_repeat_is_said_seldom() -> None:
    """Each kind of line once in ten seconds."""
    seldom = Seldom()

    def let_through(message: str, at_s: float, level: int = logging.ERROR) -> bool:
        record = logging.LogRecord("aiokafka", level, "", 0, message, (), None)
        record.created = at_s
        return seldom.filter(record)

    assert [let_through("no node %s", at_s) for at_s in (0.0, 0.1, 9.9, 10.0, 10.1)] == [True, False, False, True, False]
    assert let_through("another", 10.1)
    assert [let_through("recovered", at_s, logging.INFO) for at_s in (0.0, 0.1)] == [True, True]


def test_a_partition_that_cannot_be_recovered_for_long_does_not_fill_the_log() -> None:
    """Nor does a leader that cannot begin: both try again several times a second."""
    program = """if True:
        import logging.config
        from routecast.streams.worker import logging_configuration
        logging.config.dictConfig(logging_configuration())
        for name in ("routecast.streams.folding", "routecast.streams.leadership.leading"):
            for _ in range(100):
                logging.getLogger(name).warning(f"{name} tries again")
            logging.getLogger(name).info("ready")
    """
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert [line.split(": ")[-1].split()[-1] for line in ran.stderr.splitlines()] == ["again", "ready"] * 2


def test_that_rows_are_not_streamed_is_no_complaint() -> None:
    """Faust takes the topic it only writes for one that hangs, as soon as a worker runs for five minutes; of the events it is worth a line."""
    program = """if True:
        import logging.config
        from faust.types import TP
        from routecast.streams.worker import logging_configuration
        logging.config.dictConfig(logging_configuration())
        for topic in ("fleet.panes", "fleet.events"):
            logging.getLogger("faust.transport.drivers.aiokafka").error("Stream has not started processing %r (started %s).", TP(topic, 1), "long ago")
    """
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ["fleet.events" in line for line in ran.stderr.splitlines()] == [True]
