"""How long it takes through a real Kafka from a breaker that trips in one process until the routers of another leave its target out.

Run with a configuration file it is the process that watches.
"""

from __future__ import annotations

import queue
import random
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import core
import kafka

from routecast import Requirements, Router
from routecast.analytics.routing.availability import usable
from routecast.models.requirements import NONE

_LOOK_S = 0.001
_ROUTERS = 4
_TARGETS = 41
_TRIPPED = 20
"""Of them in each round: less than half, so that no router panics."""
_ROUNDS = 11
_BETWEEN_S = 31.0
"""After so long a target can be excluded again, by a router that nobody has heard before."""
_JOINED_S = 3.0
_MOST = 12
"""Failures in a row at which any breaker has tripped."""


class _Sight(NamedTuple):
    """A router of the other process no longer considers a target."""

    target: str
    at_s: float


def trips() -> list[core.Row]:
    """From the failure that trips a breaker to the last of four routers in another process that leaves the target out."""
    with kafka.pipeline(_TARGETS, 4) as running, ExitStack() as stack:
        running.start_worker()
        kafka.await_true(running.ticks, "the first tick")
        said: queue.Queue[_Sight] = queue.Queue()
        command = [sys.executable, __file__, str(running.folder / "routecast.toml")]
        watcher = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(watcher.terminate)
        threading.Thread(target=_listen, args=(watcher, said), daemon=True).start()
        if said.get(timeout=kafka.ENOUGH_S).target:
            raise SystemExit("the watcher left a target out before anything happened")
        url = f"kafka://{running.config.kafka.bootstrap}"
        waits_ms: list[float] = []
        for number in range(_ROUNDS):
            began_s = time.time()
            with Router.connect_sync(url, running.config, service="chat", rng=random.Random(number)) as router:
                time.sleep(_JOINED_S)
                waits_ms += [_trip(router, f"target-{i:04}", said) for i in range(_TRIPPED)]
                _recover(router)
            time.sleep(max(0.0, began_s + _BETWEEN_S - time.time()))
    ordered = sorted(waits_ms)
    shown = f"p50 {ordered[len(ordered) // 2]:.0f} ms, p99 {ordered[int(len(ordered) * 0.99)]:.0f} ms, most {ordered[-1]:.0f} ms"
    return [core.Row(f"trip to the last of 4 routers elsewhere, {len(ordered)} trips", shown, "p99 ≤ 100 ms")]


def _trip(router: Router, target: str, said: queue.Queue[_Sight]) -> float:
    """Let calls to a target fail until its breaker trips; milliseconds until the other process is told."""
    others = tuple(found for found in router.in_flight if found != target)
    only = Requirements(excluded=others)
    for _ in range(_MOST):
        at_s = time.time()
        router.start(router.choose(only)).finish("error")
        if target in _left_out(router):
            break
    else:
        raise SystemExit(f"{_MOST} failures in a row, and the next decision still considers {target}")
    for _ in range(_ROUTERS):
        while said.get(timeout=kafka.ENOUGH_S).target != target:
            pass
    waited_ms = (time.time() - at_s) * 1000
    time.sleep(random.Random(target).uniform(0.4, 0.6))
    return waited_ms


def _recover(router: Router) -> None:
    """Let calls succeed until this router's breakers are closed, so that nothing of this round is left."""
    until_s = time.time() + kafka.ENOUGH_S
    while time.time() < until_s and _left_out(router):
        router.start(router.choose()).finish("ok")
        time.sleep(_LOOK_S)


def _left_out(router: Router) -> set[str]:
    view = router.considered(NONE).view
    return {target.id for i, target in enumerate(view.targets) if not usable(view, i)}


def _listen(watcher: subprocess.Popen[str], said: queue.Queue[_Sight]) -> None:
    for line in watcher.stdout or ():
        target, at_s = line.rstrip("\n").split(" ")
        said.put(_Sight(target, float(at_s)))


def watch(config_file: str) -> None:
    """Routers of one process: print which target each of them newly leaves out, and a blank one when all have a snapshot."""
    with ExitStack() as stack:
        config = kafka.loaded(Path(config_file))
        url = f"kafka://{config.kafka.bootstrap}"
        routers = [stack.enter_context(Router.connect_sync(url, config, service="chat", rng=random.Random(i))) for i in range(_ROUTERS)]
        known = [(router.snapshot.version if router.snapshot else (0, 0), set[str]()) for router in routers]
        print("", time.time(), flush=True)
        while True:
            for i, router in enumerate(routers):
                version, out = known[i]
                snapshot = router.snapshot
                if snapshot is not None and snapshot.version != version:
                    now_out = _left_out(router)
                    for target in sorted(now_out - out):
                        print(target, time.time(), flush=True)
                    known[i] = (snapshot.version, now_out)
            time.sleep(_LOOK_S)


if __name__ == "__main__":
    watch(sys.argv[1])
