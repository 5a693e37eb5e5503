"""Plans in a process of their own, `python -m routecast.streams.planning`: one line of JSON in, a line for each insight out.

No module of the application is imported there. The process works at low priority, and ends with its caller: it keeps watching its input, which
closes when the caller is gone, however it went. Beyond its time it ends itself.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import IO, Final

from routecast.models.capacity import Capacity
from routecast.models.errors import DecodeError, Unreachable
from routecast.models.insights import Insight, Recommendations, decode_insight, encode_insight
from routecast.models.planning import PlanningInput, decode_planning, encode_planning

LONGEST_S: Final = 300.0
"""A plan that takes longer is given up."""
COMMAND: Final = (sys.executable or "python3", "-P", "-m", "routecast.streams.planning")
_MOST_BYTES: Final = 16 << 20
_NICE: Final = 10
_GRACE_S: Final = 5.0
_LATE, _ALONE = 4, 5
"""Exit codes: out of time, and nobody there any more."""
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_log = logging.getLogger(__name__)


class Child:
    """One process that makes one plan. `stop` may be called from any thread."""

    def __init__(self, command: Sequence[str] = COMMAND, longest_s: float = LONGEST_S) -> None:
        self._command = [*command, str(longest_s)]
        self._longest_s = longest_s
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def plan(self, planning: PlanningInput) -> tuple[Capacity, Recommendations]:
        """Wait for the plan. Raises Unreachable where there is none: the process died, was stopped, took too long or said something else."""
        with tempfile.TemporaryFile() as said:
            process = self._start(said)
            timer = threading.Timer(self._longest_s + _GRACE_S, process.kill)
            timer.daemon = True
            timer.start()
            try:
                answer = _asked(process, encode_planning(planning))
            finally:
                timer.cancel()
                process.kill()
                code = process.wait()
            return self._understood(planning.service, answer, code, said)

    def _start(self, said: IO[bytes]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped.is_set():
                raise Unreachable("no plan is made any more: whoever asked for it has stopped")
            try:
                self._process = subprocess.Popen(  # noqa: S603 - this interpreter with a module of this package
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=os.environ | _ONE_THREAD, close_fds=True
                )  # fmt: skip
            except OSError as error:
                raise Unreachable(f"{self._command[0]!r} cannot be started ({error}): capacity and recommendations need processes") from error
            return self._process

    def stop(self) -> None:
        """End the process, if there is one; no other begins."""
        with self._lock:
            self._stopped.set()
            if self._process is not None:
                self._process.kill()

    def _understood(self, service: str, answer: bytes, code: int, said: IO[bytes]) -> tuple[Capacity, Recommendations]:
        try:
            capacity, recommendations = (decode_insight(line) for line in answer.splitlines())
        except (DecodeError, ValueError) as error:
            raise Unreachable(f"no plan of {service!r}: {self._why(code, said)}") from error
        if not (isinstance(capacity, Capacity) and isinstance(recommendations, Recommendations) and {capacity.service, recommendations.service} == {service}):
            raise Unreachable(f"no plan of {service!r}: the process spoke of something else")
        return capacity, recommendations

    def _why(self, code: int, said: IO[bytes]) -> str:
        if self._stopped.is_set():
            return "it was stopped"
        if code == _LATE:
            return f"it took longer than {self._longest_s:g} s"
        said.seek(0)
        words = said.read(_MOST_BYTES).decode(errors="replace").strip().splitlines()
        return f"the process ended with code {code}{': ' + words[-1][:500] if words else ''}"


def _asked(process: subprocess.Popen[bytes], question: bytes) -> bytes:
    """The answer. The input stays open until then: a process whose input closes knows that it is alone."""
    if process.stdin is None or process.stdout is None:
        raise Unreachable("a process without pipes cannot be asked")
    try:
        with process.stdin as asked, process.stdout as answered:
            asked.write(question + b"\n")
            asked.flush()
            return answered.read(_MOST_BYTES)
    except OSError:  # it has ended already: its code says why
        return b""


def encoded(insights: Sequence[Insight]) -> bytes:
    """A line for each."""
    return b"".join(encode_insight(insight) + b"\n" for insight in insights)


def _end(code: int) -> None:
    os._exit(code)


def _watch() -> None:
    """End with the caller."""
    sys.stdin.buffer.read()
    _end(_ALONE)


def main(longest_s: float) -> None:
    """Read one input, make the plan, write it."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    timer = threading.Timer(longest_s, _end, (_LATE,))
    timer.daemon = True
    timer.start()
    planning = decode_planning(sys.stdin.buffer.readline())
    threading.Thread(target=_watch, daemon=True).start()
    from routecast.analytics.insights.planning import plan  # noqa: PLC0415 - the watch goes first, numpy is slow to import

    sys.stdout.buffer.write(encoded(plan(planning)))
    sys.stdout.buffer.flush()
    _end(0)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else LONGEST_S)
