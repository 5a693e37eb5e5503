"""`make study-exactness`: are the counts exactly right whatever happens to workers, broker and emitters.

A real Kafka with four partitions, two worker processes and 20,000 numbered requests over 20 targets, two of them rare. Meanwhile, in an
order that the seed decides, two workers are killed, another joins each time, the broker is stopped for ten seconds, and one worker stands
still for longer than its session and goes on. One emitter is killed with requests open. Event time begins thirteen minutes ago and passes
about ten times faster than the clock, so that the open requests of the killed emitter can be booked lost. At the end every count of every
target must equal the truth, in the published details and in the rows themselves, and the recording of the run must verify byte for byte.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from routecast import Config, Emitter
from routecast.analytics.merge import Merge
from routecast.models.details import Details
from routecast.models.events import Outcome
from routecast.servers.kafka import LocalBroker
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.reading import decoded, reader
from routecast.streams.configuration import load_config

REQUESTS = 20_000
TARGETS = [f"target-{i:02}" for i in range(20)]
RARE = TARGETS[-2:]
EMITTERS = 12
OPEN = 37
"""Requests that are open when their emitter is killed."""
SECONDS = 75.0
"""Of traffic, by the clock."""
BACK_MS = 780_000.0
"""How far in the past event time begins."""
OUTCOMES: tuple[Outcome, ...] = ("ok", "error", "timeout", "rate_limited", "cancelled")
OK_PERCENT = 80
SESSION_S = 6.0
STALLED = 75
"""Exit code of a worker that stood still."""

Truth = Counter[tuple[str, str]]


class Workers:
    """Worker processes, each with its log."""

    def __init__(self, config_file: Path) -> None:
        self._config_file = config_file
        self.running: list[subprocess.Popen[bytes]] = []
        self.exit_codes: list[int] = []

    def start(self) -> None:
        """One more."""
        number = len(self.running) + len(self.exit_codes) + 1
        with (self._config_file.parent / f"worker-{number}.log").open("wb") as log:
            command = [sys.executable, "-m", "routecast.cli", "worker", "--config", str(self._config_file)]
            self.running.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))

    def wait_until_ready(self, log: str = "worker-1.log") -> None:
        """Wait until the first one says so."""
        until_s = time.monotonic() + 60
        while "ready" not in (self._config_file.parent / log).read_text():
            if time.monotonic() > until_s:
                raise SystemExit("the first worker was not ready within a minute")
            time.sleep(0.05)

    def kill(self, luck: random.Random) -> None:
        """Kill one as a crash would."""
        process = luck.choice(self.running)
        process.kill()
        self._ended(process)

    def freeze(self, luck: random.Random) -> None:
        """Have one stand still for longer than its session; it goes on and must end by itself."""
        process = luck.choice(self.running)
        process.send_signal(signal.SIGSTOP)
        time.sleep(SESSION_S * 2 + 1)
        process.send_signal(signal.SIGCONT)
        self._ended(process)

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        self.running.remove(process)
        self.exit_codes.append(process.wait(30))

    def stop(self) -> None:
        """End all that still run."""
        for process in self.running:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in list(self.running):
            self._ended(process)


def write_config(file: Path, bootstrap: str) -> Config:
    """Configuration of one run; the file that workers read."""
    targets = [f'[[target]]\nid = "{name}"\nprovider = "p{i % 4}"\nmodel = "m{i % 3}"\nservice = "chat"\n' for i, name in enumerate(TARGETS)]
    kafka = f'[kafka]\nbootstrap = "{bootstrap}"\npartitions = 4\nsession_timeout_ms = {SESSION_S * 1000:.0f}\n'
    file.write_text("\n".join([*targets, "[intervals]\nmetrics_ms = 2000\n", kafka]))
    return load_config(file, {})


class Traffic:
    """Numbered requests through real emitters, and the truth about them."""

    def __init__(self, config: Config, luck: random.Random) -> None:
        self._url = f"kafka://{config.kafka.bootstrap}"
        self._luck = luck
        self._emitters = [Emitter.connect(self._url, config, rng=random.Random(luck.random())) for _ in range(EMITTERS)]
        self._began_s = time.monotonic()
        self._event_ms = time.time() * 1000 - BACK_MS
        self.truth: Truth = Counter()
        self.sent = 0

    def now_ms(self) -> float:
        """Event time: it reaches the present when the traffic ends."""
        return self._event_ms + (time.monotonic() - self._began_s) / SECONDS * BACK_MS

    def pass_time(self, seconds: float, requests: int) -> None:
        """Send so many requests in this time."""
        began_s = time.monotonic()
        for i in range(requests):
            time.sleep(max(0.0, began_s + i * seconds / requests - time.monotonic()))
            self.request(self._luck.choice(self._emitters))

    def request(self, emitter: Emitter) -> None:
        """One request, its end reported with it or by its own start pane's time; the truth is kept."""
        number, self.sent = self.sent, self.sent + 1
        target = self._luck.choice(RARE) if number % 1000 == 7 else TARGETS[int(18 * self._luck.random() ** 2)]
        outcome = "ok" if self._luck.randrange(100) < OK_PERCENT else self._luck.choice(OUTCOMES)
        duration_ms, at_ms = self._luck.lognormvariate(7, 1), self.now_ms()
        name, labels = f"request-{number}", {"service": "chat"}
        emitter.started(name, target, at_ms=at_ms - duration_ms, **labels)
        emitter.completed(name, target, outcome, duration_ms, at_ms=at_ms, started_at_ms=at_ms - duration_ms, start_reported=True, **labels)
        self.truth[target, "started"] += 1
        self.truth[target, outcome] += 1

    def lose(self, process: subprocess.Popen[str]) -> None:
        """Kill the emitter process, which has `OPEN` requests open."""
        process.kill()
        process.wait()
        for i in range(OPEN):
            self.truth[TARGETS[i % 20], "started"] += 1
            self.truth[TARGETS[i % 20], "lost"] += 1

    def end(self) -> None:
        """Let the watermark of every partition reach the present, and everything arrive."""
        for emitter in self._emitters:
            emitter.completed("last", TARGETS[0], "ok", 1.0, service="chat")
            self.truth[TARGETS[0], "started"] += 1
            self.truth[TARGETS[0], "ok"] += 1
        for emitter in self._emitters:
            if not emitter.close(60.0) or emitter.dropped:
                raise SystemExit(f"an emitter lost {emitter.dropped} events, or could not deliver all")


def doomed(config_file: Path, at_ms: float) -> None:
    """The emitter that will be killed: reports starts, says when they are on the log, and waits for its end."""
    config = load_config(config_file, {})
    emitter = Emitter.connect(f"kafka://{config.kafka.bootstrap}", config)
    for i in range(OPEN):
        emitter.started(f"doomed-{i}", TARGETS[i % 20], at_ms=at_ms, service="chat")
    print("delivered" if emitter.close(60.0) else "not delivered", flush=True)
    signal.pause()


def start_doomed(config_file: Path, at_ms: float) -> subprocess.Popen[str]:
    """That process, once its events are on the log."""
    command = [sys.executable, __file__, "--doomed", str(config_file), str(at_ms)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if process.stdout is None or process.stdout.readline() != "delivered\n":
        raise SystemExit("the emitter that is to be killed could not deliver its events")
    return process


async def published(config: Config) -> tuple[Truth, int]:
    """Counts and in-flight of the newest details."""
    async with reader(config.kafka) as read:
        found, _ = await read.newest("details", [b"chat"])
    details = decoded(found.get(b"chat"), Details.decode)
    if details is None:
        return Counter(), -1
    counts = Counter({(t.id, "started"): t.started_total for t in details.targets})
    for target in details.targets:
        counts.update({(target.id, outcome): n for outcome, n in target.outcomes_total.model_dump().items()})
    return +counts, details.system.in_flight


async def in_the_rows(config: Config) -> Truth:
    """Counts of the rows, merged as a new leader would."""
    merge = Merge()
    async with reader(config.kafka) as read:
        for partition in range(4):
            async for record in read.stretch("panes", partition, 0, (await read.ends("panes", [partition]))[partition]):
                merge.add(record.key, record.value)
    counts: Truth = Counter()
    for name, totals in merge.target_totals().items():
        for outcome in ("started", "ok", "error", "timeout", "rate_limited", "cancelled", "caller_fault", "lost", "late"):
            counts[name, outcome] = getattr(totals, outcome)
    return +counts


def run(seed: int, folder: Path) -> list[str]:
    """One run; what was wrong with it."""
    luck = random.Random(seed)
    broker = LocalBroker(folder / "kafka")
    config_file = folder / "routecast.toml"
    config = write_config(config_file, broker.bootstrap)
    workers = Workers(config_file)
    try:
        broker.start()
        asyncio.run(create_topics(config.kafka))
        workers.start()
        workers.start()
        workers.wait_until_ready()
        traffic = Traffic(config, luck)
        lost_emitter = start_doomed(config_file, traffic.now_ms())
        suffer(traffic, broker, workers, luck)
        traffic.lose(lost_emitter)
        traffic.end()
        ended = [f"a worker ended with {code}" for code in workers.exit_codes if code not in {-signal.SIGKILL, STALLED}]
        return settle(config, traffic.truth) + unproved(config_file, luck) + ended
    finally:
        workers.stop()
        broker.stop()


def suffer(traffic: Traffic, broker: LocalBroker, workers: Workers, luck: random.Random) -> None:
    """The traffic, with a trouble in the middle of each of its five parts."""

    def replace(fault: Callable[[random.Random], None]) -> None:
        fault(luck)
        workers.start()

    troubles: list[Callable[[], None]] = [lambda: replace(workers.kill), lambda: replace(workers.kill), lambda: replace(workers.freeze), broker_away(broker)]
    luck.shuffle(troubles)
    for trouble in [*troubles, lambda: None]:
        share = REQUESTS // 10
        half_s = SECONDS / 10
        traffic.pass_time(half_s, share)
        thread = in_background(trouble)
        traffic.pass_time(half_s, share)
        thread()


def broker_away(broker: LocalBroker) -> Callable[[], None]:
    """Stop the broker for ten seconds."""

    def away() -> None:
        broker.stop()
        time.sleep(10)
        broker.start()

    return away


def in_background(work: Callable[[], None]) -> Callable[[], None]:
    """Begin the work; call what is returned to wait for its end, or to get its error."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future.result


def settle(config: Config, truth: Truth) -> list[str]:
    """Wait until the published counts are the truth, at most 90 s; what differs."""
    until_s = time.monotonic() + 90
    while True:
        counts, in_flight = asyncio.run(published(config))
        if (counts, in_flight) == (truth, 0) or time.monotonic() > until_s:
            break
        time.sleep(1)
    rows = asyncio.run(in_the_rows(config))
    wrong = [f"details: {key}: {counts[key]}, truly {truth[key]}" for key in sorted(counts.keys() | truth.keys()) if counts[key] != truth[key]]
    wrong += [f"rows: {key}: {rows[key]}, truly {truth[key]}" for key in sorted(rows.keys() | truth.keys()) if rows[key] != truth[key]]
    return wrong + ([f"in flight at the end: {in_flight}"] if in_flight else [])


def unproved(config_file: Path, luck: random.Random) -> list[str]:
    """Record the run and have every snapshot computed again; then flip one bit, which must be found. What went wrong."""
    file, flipped = config_file.with_name("run.routecast"), config_file.with_name("flipped.routecast")
    routecast = [sys.executable, "-m", "routecast.cli"]
    subprocess.run([*routecast, "record", "--config", config_file, "--out", file, "--from", "beginning", "--until-end"], check=True, capture_output=True)
    data = bytearray(file.read_bytes())
    data[luck.randrange(len(data))] ^= 1 << luck.randrange(8)
    flipped.write_bytes(data)
    verified, found = (subprocess.run([*routecast, "replay", "--verify", it], capture_output=True, text=True, check=False) for it in (file, flipped))
    wrong = [] if verified.returncode == 0 else [f"the recording does not verify ({verified.returncode}): {verified.stderr[-300:]}"]
    return wrong + ([] if found.returncode not in {0, 2} else [f"a flipped bit was not found: {found.stdout[-300:]}"])


def main() -> None:
    """Run the seeds; exit code 1 if any count was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 11)))
    parser.add_argument("--keep", type=Path, help="keep logs here, also of runs that went well")
    parser.add_argument("--doomed", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.doomed:
        doomed(Path(asked.doomed[0]), float(asked.doomed[1]))
    exact = 0
    for seed in asked.seeds:
        folder = Path(tempfile.mkdtemp(prefix="exactness-", dir=asked.keep))
        began_s = time.monotonic()
        wrong = run(seed, folder)
        exact += not wrong
        spent = f"{time.monotonic() - began_s:.0f} s"
        verdict = f"WRONG, logs in {folder}" if wrong else "exact, and its recording verifies"
        print(f"seed {seed}: {verdict}; {REQUESTS:,} requests, {OPEN} more lost with their emitter, {spent}", flush=True)
        for line in wrong[:20]:
            print(f"  {line}", flush=True)
        if not wrong and not asked.keep:
            shutil.rmtree(folder)
    print(f"{exact} of {len(asked.seeds)} runs exact")
    sys.exit(exact != len(asked.seeds))


if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the broker will be away
    main()
