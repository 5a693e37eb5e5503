"""One question to a process of its own, one answer: for what takes seconds and must not stop the loop that asks.

No module of the application is imported there. The process works at low priority, and ends with its caller, however that goes (`streams/lifeline.py`).
Beyond its time it ends itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import IO, Final, NamedTuple

from routecast.models.errors import RoutecastError, Unreachable
from routecast.streams.lifeline import when_alone

PYTHON: Final = (sys.executable or "python3", "-P", "-m")
"""Runs a module of this installation, whatever lies in the working directory."""
_MOST_BYTES: Final = 16 << 20
_NICE: Final = 10
_GRACE_S: Final = 5.0
_LATE, _ALONE = 4, 5
"""Exit codes: out of time, and nobody there any more."""
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Answer(NamedTuple):
    """What a process said, and how it ended."""

    said: bytes
    ended: str
    """In words, for those who cannot make sense of what it said."""


class SideProcess:
    """One process that answers one question. `stop` may be called from any thread.

    Args:
        command: of the process; its time is added as the last argument.
        longest_s: its time.
    """

    def __init__(self, command: Sequence[str], longest_s: float) -> None:
        self._command = [*command, str(longest_s)]
        self._longest_s = longest_s
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    @property
    def begun(self) -> bool:
        """Whether the process was started."""
        return self._process is not None

    def ask(self, question: bytes) -> Answer:
        """Wait for the answer. Raises Unreachable where no process can be started."""
        with tempfile.TemporaryFile() as words:
            process = self._start(words)
            timer = threading.Timer(self._longest_s + _GRACE_S, process.kill)
            timer.daemon = True
            timer.start()
            try:
                said = _asked(process, question)
            finally:
                timer.cancel()
                process.kill()
                code = process.wait()
            return Answer(said, self._why(code, words))

    def _start(self, words: IO[bytes]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped.is_set():
                raise Unreachable("no process is started any more: whoever asked has stopped")
            try:
                self._process = subprocess.Popen(  # noqa: S603 - this interpreter with a module of this package
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, env=os.environ | _ONE_THREAD, close_fds=True
                )  # fmt: skip
            except OSError as error:
                raise Unreachable(f"{self._command[0]!r} cannot be started ({error}): the leader needs processes beside it") from error
            return self._process

    def stop(self) -> None:
        """End the process, if there is one; no other begins."""
        with self._lock:
            self._stopped.set()
            if self._process is not None:
                self._process.kill()

    def _why(self, code: int, words: IO[bytes]) -> str:
        if self._stopped.is_set():
            return "it was stopped"
        if code == _LATE:
            return f"it took longer than {self._longest_s:g} s"
        words.seek(0)
        lines = words.read(_MOST_BYTES).decode(errors="replace").strip().splitlines()
        return f"the process ended with code {code}{': ' + lines[-1][:500] if lines else ''}"


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


def answer(longest_s: float, reply: Callable[[bytes], bytes], alone: Callable[[bytes], object] = bool) -> None:
    """In the process: read one line, write the reply to it, end. `alone` is called with the line where the caller went away first."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    timer = threading.Timer(longest_s, _end, (_LATE,))
    timer.daemon = True
    timer.start()
    question = sys.stdin.buffer.readline()

    def end() -> None:
        alone(question)
        _end(_ALONE)

    when_alone(end)
    try:
        sys.stdout.buffer.write(reply(question))
        sys.stdout.buffer.flush()
    except Exception as error:  # noqa: BLE001 - the interpreter cannot end by itself while its input is watched
        sys.stderr.write(f"{error if isinstance(error, RoutecastError) else repr(error)}\n")
        sys.stderr.flush()
        _end(1)
    _end(0)


def _end(code: int) -> None:
    os._exit(code)
