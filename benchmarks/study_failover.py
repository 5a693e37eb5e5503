"""`make study-failover`: alerts and detectors through the deaths of three leaders, on a real Kafka.

Two worker processes lead in turn; two targets get ten requests a second each. One of them begins to fail every request. The leader is killed

1. before it wakes anybody: the time for which a trouble must last is not counted anew,
2. as soon as the webhook was told: nobody is told again,
3. in the time of peace that ends the alert, which is not counted anew either.

At the end what was posted and what is on the log must be those of one alert and of one change.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from routecast import Config, Emitter
from routecast.analytics.alerts.alerts import CALM_MS
from routecast.models.events import Outcome
from routecast.models.insights import Alert, Change, Insight, decode_insight
from routecast.models.tick import Claim, TickRecord, decode_tick
from routecast.servers.kafka import LocalBroker
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.reading import reader
from routecast.streams.configuration import load_config

BAD = "a"
_PER_SECOND = 10.0
_QUIET_S = 60.0
_TROUBLE_S = 80.0
"""Of failures until the first leader is killed: forty seconds before they have lasted for long enough to wake somebody."""
_RIPE_MS = 120_000.0
_LED_S = 30.0
"""For which each leader is watched."""
_PEACE_S = 420.0
"""Until the third is killed: for five minutes the window of the rule still shows the failures, and two of the five that are to follow have passed."""
_WINDOW_MS = 300_000.0
_TAKEOVER_MS = 20_000.0
"""A session timeout, a rebalance, and the end of a period."""
_MOST_S = 600.0


class Receiver:
    """The webhook: takes everything."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Take no more."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        taken = self.alerts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                taken.append(Alert.model_validate(body["alert"]))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
                pass

        return Handler


class Traffic:
    """Requests to both targets, until it is closed."""

    def __init__(self, config: Config) -> None:
        self._emitter = Emitter.connect(f"kafka://{config.kafka.bootstrap}", config)
        self._over = threading.Event()
        self.failing = False
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        number = 0
        while not self._over.wait(1.0 / _PER_SECOND):
            number += 1
            for target in (BAD, "b"):
                outcome: Outcome = "error" if self.failing and target == BAD else "ok"
                self._emitter.completed(f"{target}-{number}", target, outcome, 100.0 + number % 7, service="chat")

    def close(self) -> None:
        """Stop."""
        self._over.set()
        self._thread.join()
        self._emitter.close(10.0)


class Fleet:
    """Worker processes, of which one leads."""

    def __init__(self, config_file: Path, config: Config) -> None:
        self._config_file, self._config = config_file, config
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._started = 0

    def start(self) -> None:
        """One more; returns when it is ready."""
        self._started += 1
        log = self._config_file.parent / f"worker-{self._started}.log"
        command = [sys.executable, "-m", "routecast.cli", "worker", "--config", str(self._config_file)]
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        self._running[process.pid] = process
        wait_until(lambda: "ready" in log.read_text(), f"a worker to be ready, see {log}")

    def kill_leader(self) -> None:
        """Kill the process that leads, and start another."""
        claims = [record for record in asyncio.run(ticks(self._config)) if isinstance(record, Claim)]
        pid = int(claims[-1].worker.rpartition("-")[2])
        self._running[pid].send_signal(signal.SIGKILL)
        self._running.pop(pid).wait()
        told(f"leader {len(claims)} killed")
        self.start()
        wait_until(lambda: len([r for r in asyncio.run(ticks(self._config)) if isinstance(r, Claim)]) > len(claims), "another one to lead")
        told("another one leads")

    def stop(self) -> None:
        """End them all."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait(60)


async def ticks(config: Config) -> list[Claim | TickRecord]:
    """Everything that leaders noted."""
    async with reader(config.kafka) as read:
        end = (await read.ends("ticks", [0]))[0]
        return [decode_tick(record.value or b"") async for record in read.stretch("ticks", 0, 0, end)]


async def insights(config: Config) -> list[Insight]:
    """Everything that was said."""
    async with reader(config.kafka) as read:
        end = (await read.ends("insights", [0]))[0]
        return [decode_insight(record.value) async for record in read.stretch("insights", 0, 0, end) if record.value]


def wait_until(true: Callable[[], object], what: str, within_s: float = _MOST_S) -> None:
    """Ask again and again."""
    until_s = time.monotonic() + within_s
    while not true():
        if time.monotonic() > until_s:
            raise SystemExit(f"waited in vain for {what}")
        time.sleep(0.2)


_BEGAN_S = time.monotonic()


def told(what: str) -> None:
    """Progress."""
    print(f"{time.monotonic() - _BEGAN_S:5.0f} s  {what}", flush=True)


class Times(NamedTuple):
    """When the target began to fail, and when it was well again, epoch ms."""

    failing_ms: float
    well_ms: float


def story(fleet: Fleet, traffic: Traffic, receiver: Receiver) -> Times:
    """All of it."""
    told("traffic")
    time.sleep(_QUIET_S)
    traffic.failing, failing_ms = True, time.time() * 1000.0
    told(f"{BAD} fails")
    time.sleep(_TROUBLE_S)
    fleet.kill_leader()
    wait_until(lambda: receiver.alerts, "a notification")
    told(f"notified: {receiver.alerts[0].title}")
    fleet.kill_leader()
    time.sleep(_LED_S)
    traffic.failing, well_ms = False, time.time() * 1000.0
    told(f"{BAD} is well again")
    time.sleep(_PEACE_S)
    fleet.kill_leader()
    wait_until(lambda: receiver.alerts[-1].state == "cleared", "the end of the alert")
    told(f"notified: {receiver.alerts[-1].title}")
    time.sleep(_LED_S)
    return Times(failing_ms, well_ms)


class Check(NamedTuple):
    """Something that must be so."""

    what: str
    found: object
    right: bool


def checks(said: Sequence[Insight], noted: Sequence[Claim | TickRecord], posted: Sequence[Alert], times: Times) -> Iterator[Check]:
    """Whether everything went on."""
    alerts = [alert for alert in said if isinstance(alert, Alert) and (alert.subject.id, alert.kind) == (BAD, "error_rate")]
    changes = [change for change in said if isinstance(change, Change) and (change.subject.id, change.metric) == (BAD, "error_ratio")]
    claims = [record for record in noted if isinstance(record, Claim)]
    at_ms = [record.at_ms for record in noted if isinstance(record, TickRecord)]
    silent = sorted((after - before for before, after in pairwise(at_ms)), reverse=True)[: len(claims) - 1]
    yield Check("leaders", len(claims), len(claims) >= 4)
    yield Check("seconds without a tick after each kill", [round(ms / 1000, 1) for ms in silent], max(silent) <= _TAKEOVER_MS)
    yield Check("ids of the alert", sorted({alert.id for alert in alerts}), len({alert.id for alert in alerts}) == 1)
    versions = sorted({alert.version for alert in alerts})
    yield Check("its versions", versions, versions == list(range(1, len(versions) + 1)))
    states = [(alert.subject.id, alert.state, alert.severity) for alert in posted]
    yield Check("posted", states, [(who, state == "cleared") for who, state, _ in states] == [(BAD, False), (BAD, True)])
    raised_s = (posted[0].at_ms - times.failing_ms) / 1000
    yield Check("seconds until it was raised", round(raised_s), raised_s * 1000 <= _RIPE_MS + _TAKEOVER_MS)
    over_s = (posted[-1].at_ms - times.well_ms) / 1000
    yield Check("seconds until it was over", round(over_s), over_s * 1000 <= _WINDOW_MS + CALM_MS + _TAKEOVER_MS)
    yield Check(
        "ids and beginnings of the change of its error ratio", sorted({(c.id, c.since_ms) for c in changes}), len({(c.id, c.since_ms) for c in changes}) == 1
    )
    since_s = (changes[0].since_ms - times.failing_ms) / 1000 if changes else float("nan")
    yield Check("seconds from the first failure to that beginning", round(since_s), abs(since_s) <= 20)


@contextmanager
def pipeline(folder: Path, receiver: Receiver) -> Generator[tuple[Fleet, Config]]:
    """A broker, topics, and two workers that tell the webhook."""
    file, secret = folder / "routecast.toml", folder / "webhook"
    secret.write_text(receiver.url)
    with LocalBroker(folder / "kafka") as broker:
        targets = "".join(f'[[target]]\nid = "{name}"\nprovider = "p-{name}"\nmodel = "m"\nservice = "chat"\n' for name in (BAD, "b"))
        file.write_text(f'{targets}[alerts]\nwebhook_file = "{secret}"\n[kafka]\nbootstrap = "{broker.bootstrap}"\npartitions = 2\nsession_timeout_ms = 6000\n')
        config = load_config(file, {})
        asyncio.run(create_topics(config.kafka))
        fleet = Fleet(file, config)
        try:
            fleet.start()
            fleet.start()
            yield fleet, config
        finally:
            fleet.stop()


def main() -> None:
    """Run the story; exit code 1 where anything did not go on."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    folder, receiver = Path(tempfile.mkdtemp(prefix="failover-")), Receiver()
    with pipeline(folder, receiver) as (fleet, config):
        traffic = Traffic(config)
        try:
            times = story(fleet, traffic, receiver)
        finally:
            traffic.close()
        found = [*checks(asyncio.run(insights(config)), asyncio.run(ticks(config)), receiver.alerts, times)]
    receiver.close()
    for check in found:
        print(f"{'right' if check.right else 'WRONG'}  {check.what}: {check.found}")
    wrong = sum(not check.right for check in found)
    print(f"everything went on; logs in {folder}" if not wrong else f"{wrong} did not go on; logs in {folder}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    main()
