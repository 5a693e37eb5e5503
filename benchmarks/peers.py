"""Decisions of routecast beside those of LiteLLM's Router, in turns within one run: 20 targets each, short and long prompts.

LiteLLM gets an environment of its own in the user's cache, made by the first run; it is no dependency of routecast. Nothing is called over a network:
only the choice is timed.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import venv
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import day
from core import Row, _each_us

VERSION = "1.106.2"
_SHORT, _LONG = 20, 20_000
_ROUNDS, _OURS = 7, 2000
_COUNT = {_SHORT: 200, _LONG: 8}
"""Decisions of a block; a long prompt takes thousands of times as long."""


class Way(NamedTuple):
    """One way to ask LiteLLM for a deployment."""

    strategy: str
    call: str
    """`async` or `sync`; both exist but for cost-based routing."""
    words: int
    checks: bool = False
    """Whether it also compares the prompt with context windows, `enable_pre_call_checks`."""

    @property
    def label(self) -> str:
        """What a row is called."""
        return f"LiteLLM {self.strategy}, {self.call}, {self.words:,} words{', pre-call checks' * self.checks}"


STRATEGIES = ("simple-shuffle", "least-busy", "latency-based-routing", "usage-based-routing-v2", "cost-based-routing")
WAYS = (
    *(Way(s, call, words) for s in STRATEGIES for call in ("async", "sync") for words in (_SHORT, _LONG) if (s, call) != ("cost-based-routing", "sync")),
    *(Way("simple-shuffle", "async", words, checks=True) for words in (_SHORT, _LONG)),
)


class NotToBeHadError(Exception):
    """Says why LiteLLM cannot be measured, in pip's words."""


def environment() -> Path:
    """The interpreter of LiteLLM's environment, which is made where it is missing."""
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "routecast" / f"litellm-{VERSION}"
    python, ready = place / "bin" / "python", place / ".ready"
    if not ready.exists():
        venv.create(place, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"litellm=={VERSION}"]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotToBeHadError(" ".join(done.stderr.split())[-300:] or f"pip ended with {done.returncode}")
        ready.touch()
    return python


class LiteLLM:
    """Its Router in a process of its own, which does nothing while it is not asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def times_us(self, way: Way) -> list[float]:
        """Microseconds of each decision of a block."""
        source, sink = self._process.stdin, self._process.stdout
        if source is None or sink is None:
            raise RuntimeError("start it with pipes")
        source.write(json.dumps([way.strategy, way.call, way.words, way.checks, _COUNT[way.words]]) + "\n")
        source.flush()
        answer = sink.readline()
        if not answer:
            raise RuntimeError(f"LiteLLM ended at {way.label!r}: its own words are above")
        times: list[float] = json.loads(answer)
        return times


@contextmanager
def litellm(python: Path) -> Generator[LiteLLM]:
    """Start it, and end it."""
    settings = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    command = [str(python), "-I", str(Path(__file__).with_name("litellm_choices.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=settings) as process:
        try:
            yield LiteLLM(process)
        finally:
            process.terminate()


def rows() -> list[Row]:
    """Every way LiteLLM can be asked, as a ratio to ours in the same turn; three minutes."""
    try:
        python = environment()
    except NotToBeHadError as error:
        return [Row(f"LiteLLM {VERSION} could not be installed", f"pip: {error}")]
    router = day.seasoned()
    ours = {"no requirements": list[list[float]](), "requirements": list[list[float]]()}
    theirs: dict[Way, list[list[float]]] = {way: [] for way in WAYS}
    ratios: dict[Way, list[float]] = {way: [] for way in WAYS}
    with litellm(python) as other:
        for way in WAYS:  # makes the routers, and their first decisions
            other.times_us(way)
        for _ in range(_ROUNDS):
            for way in WAYS:
                gc.collect()
                ours["no requirements"].append(_each_us(router.choose, _OURS))
                asked = _each_us(partial(router.choose, day.ASKED), _OURS)
                ours["requirements"].append(asked)
                times = other.times_us(way)
                theirs[way].append(times)
                ratios[way].append(statistics.median(times) / statistics.median(asked))
    mine = [Row(f"routecast, everything on, {label}, any prompt", _spread(blocks), "p50 ≤ 5 µs, p99 ≤ 20 µs") for label, blocks in ours.items()]
    return [*mine, *(Row(way.label, f"{_spread(theirs[way])}; {_ratio(ratios[way])}") for way in WAYS)]


def _spread(blocks: list[list[float]]) -> str:
    """p50: the median of the blocks' medians; p99 of all together, where they are enough for it."""
    times = sorted(time for block in blocks for time in block)
    p50_us = statistics.median(statistics.median(block) for block in blocks)
    p99_us = f", p99 {times[int(len(times) * 0.99)]:,.1f} µs" if len(times) >= 1000 else f", longest of {len(times)} {times[-1]:,.0f} µs"
    return f"p50 {p50_us:,.1f} µs{p99_us}"


def _ratio(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):,.0f} × ours ({min(ratios):,.0f} to {max(ratios):,.0f})"
