"""How long it takes through a real Kafka until routers know, and until publication goes on after something died.

Run with a configuration file it is the process that watches routers for `drains`.
"""

from __future__ import annotations

import asyncio
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import core
import kafka

from routecast import Emitter, Router
from routecast.models.events import Completed, Control, decode_events, encode_events
from routecast.streams.brokers.reading import reader
from routecast.streams.leadership.leading import producer
from routecast.streams.topics import CONTROL, EVENTS

DRAINED = "target-0000"
_LOOK_S = 0.001
_ROUTERS = 8


def freshness() -> list[core.Row]:
    """From the emitter of a request to the router that has a snapshot with it, at a period of one second."""
    with kafka.pipeline(20, 4) as running:
        running.start_worker()
        luck, sent_s, seen = random.Random(4), dict[str, float](), list[tuple[tuple[int, int], float]]()
        with (
            Router.connect_sync(_url(running), running.config, service="chat", rng=random.Random(5)) as router,
            Emitter.connect(_url(running), running.config, rng=random.Random(6)) as emitter,
        ):
            over_s = time.time() + 50.0
            while time.time() < over_s:
                name = f"request-{len(sent_s)}"
                sent_s[name] = time.time()
                emitter.completed(name, DRAINED, "ok", 400.0)
                _note(router, seen, until_s=time.time() + luck.uniform(0.02, 0.2))
            _note(router, seen, until_s=time.time() + 4.0)
        place = asyncio.run(_offsets(running))
        holds = {(tick.term, tick.seq): tick.offsets for tick in running.ticks()}
    waits_ms = [
        (next(at_s for version, at_s in seen if at_s > sent_s[name] and holds[version].get(partition, -1) >= offset) - sent_s[name]) * 1000
        for name, (partition, offset) in place.items()
        if name in sent_s
    ]
    return [core.Row(f"event to router, period 1 s, {len(waits_ms)} events", _quantiles(waits_ms), "p99 ≤ 1,300 ms")]


def _note(router: Router, seen: list[tuple[tuple[int, int], float]], until_s: float) -> None:
    """Note when which snapshot is there."""
    while time.time() < until_s:
        snapshot = router.snapshot
        if snapshot is not None and (not seen or seen[-1][0] != snapshot.version):
            seen.append((snapshot.version, time.time()))
        time.sleep(_LOOK_S)


async def _offsets(running: kafka.Pipeline) -> dict[str, tuple[int, int]]:
    """Partition and offset of every reported request."""
    found: dict[str, tuple[int, int]] = {}
    async with reader(running.config.kafka) as read:
        for partition in range(running.config.kafka.partitions):
            end = (await read.ends(EVENTS, [partition]))[partition]
            async for record in read.stretch(EVENTS, partition, 0, end):
                events = decode_events(record.value or b"")[0]
                found |= {event.request_id: (partition, record.offset) for event in events if isinstance(event, Completed)}
    return found


def drains() -> list[core.Row]:
    """From an operator's word to the last of sixteen routers in two processes that has it in its snapshot."""
    with kafka.pipeline(20, 4) as running, ExitStack() as stack:
        running.start_worker()
        kafka.await_true(running.ticks, "the first tick")
        said: queue.Queue[_Sight] = queue.Queue()
        for _ in range(2):
            command = [sys.executable, __file__, str(running.folder / "routecast.toml")]
            watcher = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(watcher.terminate)
            threading.Thread(target=_listen, args=(watcher, said), daemon=True).start()
        for _ in range(2 * _ROUTERS):
            said.get(timeout=kafka.ENOUGH_S)
        waits_ms = asyncio.run(_drain_and_resume(running, said, rounds=120))
    return [core.Row(f"drain or resume to the last of 16 routers, {len(waits_ms)} of them", _quantiles(waits_ms), "p99 ≤ 100 ms")]


class _Sight(NamedTuple):
    """A router sees that the target is drained, or is not."""

    drained: bool
    at_s: float


def _listen(watcher: subprocess.Popen[str], said: queue.Queue[_Sight]) -> None:
    for line in watcher.stdout or ():
        drained, at_s = line.split()
        said.put(_Sight(drained == "True", float(at_s)))


async def _drain_and_resume(running: kafka.Pipeline, said: queue.Queue[_Sight], rounds: int) -> list[float]:
    luck, waits_ms = random.Random(7), list[float]()
    async with producer(running.config) as out:
        for i in range(rounds):
            await asyncio.sleep(luck.uniform(0.1, 0.6))
            drain, said_s = i % 2 == 0, time.time()
            word = Control(at_ms=said_s * 1000, target=DRAINED, action="drain" if drain else "resume")
            await out.send_and_wait(running.config.kafka.prefix + CONTROL, encode_events([word]), key=DRAINED.encode(), partition=0)
            sights = [said.get(timeout=kafka.ENOUGH_S) for _ in range(2 * _ROUTERS)]
            if any(sight.drained != drain for sight in sights):
                raise SystemExit(f"routers saw {sights} after {word}")
            waits_ms.append((max(sight.at_s for sight in sights) - said_s) * 1000)
    return waits_ms


def watch(config_file: str) -> None:
    """Eight routers of one process: print when each of them sees a change, and what it sees first."""
    with ExitStack() as stack:
        config = kafka.loaded(Path(config_file))
        url = f"kafka://{config.kafka.bootstrap}"
        routers = [stack.enter_context(Router.connect_sync(url, config, service="chat", rng=random.Random(i))) for i in range(_ROUTERS)]
        known: list[bool | None] = [None] * _ROUTERS
        while True:
            for i, router in enumerate(routers):
                snapshot = router.snapshot
                drained = None if snapshot is None else any(target.id == DRAINED and target.state == "drained" for target in snapshot.targets)
                if drained is not None and drained != known[i]:
                    known[i] = drained
                    print(drained, time.time(), flush=True)
            time.sleep(_LOOK_S)


def recovery() -> list[core.Row]:
    """The longest silence between two ticks around each trouble, of two workers, 1,000 events a second."""
    with kafka.pipeline(20, 4, session_timeout_ms=6000) as running:
        for _ in range(2):
            running.start_worker()
        kafka.await_true(running.ticks, "the first tick")
        stop = threading.Event()
        feeding = threading.Thread(target=_feed, args=(running, stop), daemon=True)
        feeding.start()
        time.sleep(10.0)
        silences = [(name, [_silence(running, act, watch_s) for _ in range(times)]) for name, act, watch_s, times in _TROUBLES]
        stop.set()
        feeding.join()
    return [core.Row(f"publication stands still: {name}", ", ".join(f"{s:.1f}" for s in seconds) + " s") for name, seconds in silences]


def _silence(running: kafka.Pipeline, act: Callable[[kafka.Pipeline], None], watch_s: float) -> float:
    """The longest time between two ticks from just before it happens to so many seconds after it."""
    began_ms = time.time() * 1000
    act(running)
    time.sleep(watch_s)
    kafka.await_true(lambda: running.ticks()[-1].at_ms > time.time() * 1000 - 3000, "a tick")
    ticks_ms = sorted(tick.at_ms for tick in running.ticks())
    return max(later - earlier for earlier, later in pairwise(ticks_ms) if later > began_ms) / 1000


def _kill_leader(running: kafka.Pipeline) -> None:
    """`kill -9` of the worker with the newest term."""
    _kill(max(_alive(running), key=_last_term))


def _kill_other(running: kafka.Pipeline) -> None:
    _kill(min(_alive(running), key=_last_term))


def _kill(worker: kafka.WorkerProcess) -> None:
    worker.process.kill()
    worker.process.wait()


def _alive(running: kafka.Pipeline) -> list[kafka.WorkerProcess]:
    return [worker for worker in running.workers if worker.process.poll() is None]


def _last_term(worker: kafka.WorkerProcess) -> int:
    said = worker.log.read_text().split("leading with term ")
    return int(said[-1].split()[0]) if len(said) > 1 else -1


def _join(running: kafka.Pipeline) -> None:
    running.start_worker()


def _restart_broker(running: kafka.Pipeline) -> None:
    running.broker.stop()
    time.sleep(10.0)
    running.broker.start()


_TROUBLES: list[tuple[str, Callable[[kafka.Pipeline], None], float, int]] = [
    ("kill -9 of the leading worker", _kill_leader, 20.0, 1),
    ("a worker joins", _join, 15.0, 1),
    ("kill -9 of the other worker", _kill_other, 20.0, 1),
    ("a second worker joins again", _join, 15.0, 1),
    ("broker away for 10 s", _restart_broker, 30.0, 1),
]


def _feed(running: kafka.Pipeline, stop: threading.Event) -> None:
    with Emitter.connect(_url(running), running.config, rng=random.Random(8)) as emitter:
        for events in kafka.live(20, 1000, time.time() * 1000):
            for event in events:
                emitter.emit(event)
            if stop.wait(max(0.0, events[-1].at_ms / 1000 - time.time())):
                return


def _url(running: kafka.Pipeline) -> str:
    return f"kafka://{running.broker.bootstrap}"


def _quantiles(waits_ms: Iterable[float]) -> str:
    ordered = sorted(waits_ms)
    p50, p90, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * q))] for q in (0.5, 0.9, 0.99))
    return f"p50 {p50:,.0f} ms, p90 {p90:,.0f} ms, p99 {p99:,.0f} ms"


if __name__ == "__main__":
    watch(sys.argv[1])
