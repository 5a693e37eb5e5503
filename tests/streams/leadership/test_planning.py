"""One plan in one process: it is the plan, it ends with its caller, and whatever goes wrong with it is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from msgspec import structs

from routecast.analytics.insights.planning import plan
from routecast.models.errors import Unreachable
from routecast.models.planning import PlannedTarget, PlanningInput, encode_planning
from routecast.streams.leadership.planning import COMMAND, Child

TARGETS = tuple(
    PlannedTarget(id=name, state="ok", capacity=8.0, service_s=s, mean_s=s, sigma=0.5, n=500.0, attempts=300) for name, s in (("a", 1.0), ("b", 4.0))
)
PLANNING = PlanningInput(
    service="chat", at_ms=60_000.0, policy="round_robin", limit_ms=500.0, quality_minimum=0.7, quality_target=0.9, targets=TARGETS,
    slot_ms=tuple(range(0, 60_000, 500)), arrived=(3,) * 120,
)  # fmt: skip
MANY = tuple(PlannedTarget(id=f"t{i}", state="ok", capacity=8.0, service_s=1.0, sigma=0.5, n=500.0) for i in range(400))
LONG = structs.replace(PLANNING, arrived=(300,) * 120, targets=MANY)
"""Half a minute of computing."""


def saying(program: str) -> tuple[str, ...]:
    """A process that does something else."""
    return (sys.executable, "-c", program)


def test_the_process_makes_the_plan_that_would_be_made_here() -> None:
    """To the byte: what crosses is all there is."""
    assert Child().plan(PLANNING) == plan(PLANNING)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (saying("import sys; sys.exit('no memory')"), "ended with code 1: no memory"),
        (saying("import os; os.abort()"), "ended with code -6"),
        (saying("print('hello')"), "no plan of 'chat'"),
        (saying("import sys; sys.stdin.readline()"), "no plan of 'chat'"),
        (("no-such-program",), "cannot be started"),
    ],
    ids=["fails", "dies", "garbage", "silent", "missing"],
)
def test_a_process_that_fails_dies_or_talks_nonsense_is_an_error_that_says_so(command: tuple[str, ...], reason: str) -> None:
    """With its last words, where it had any."""
    with pytest.raises(Unreachable, match=reason):
        Child(command).plan(PLANNING)


def test_a_plan_of_another_service_is_none() -> None:
    """Whoever answered was asked something else."""
    program = f"import sys; sys.stdin.readline(); sys.stdout.write({_answer('mail')!r})"
    with pytest.raises(Unreachable, match="spoke of something else"):
        Child(saying(program)).plan(PLANNING)


def _answer(service: str) -> str:
    capacity = f'{{"type":"capacity","service":"{service}","at_ms":1,"now_per_min":1,"limit_ms":1,"scale":{{"action":"none","reason":""}}}}'
    return f'{capacity}\n{{"type":"recommendations","service":"{service}","at_ms":1,"recommendations":[]}}\n'


def test_a_process_that_hangs_is_ended() -> None:
    """Also one that never looks at its input, and one that floods its output."""
    for program in ("import threading; threading.Event().wait()", "import sys\nwhile True: sys.stdout.write('x' * 4096)"):
        child = Child(saying(program), longest_s=-4.0)  # a second in all
        with pytest.raises(Unreachable):
            child.plan(LONG)


def test_beyond_its_time_the_process_ends_itself() -> None:
    """And says that this was the reason."""
    with pytest.raises(Unreachable, match=r"took longer than 0\.5 s"):
        Child(longest_s=0.5).plan(LONG)


def test_stopping_ends_the_process_and_begins_no_other(eventually: Callable[..., None]) -> None:
    """From another thread, while the plan is awaited."""
    child, errors = Child(), list[str]()

    def wait() -> None:
        try:
            child.plan(LONG)
        except Unreachable as error:
            errors.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: child.begun)
    child.stop()
    thread.join(10.0)
    assert not thread.is_alive()
    assert errors == ["no plan of 'chat': it was stopped"]
    with pytest.raises(Unreachable, match="has stopped"):
        child.plan(PLANNING)


def test_the_process_ends_with_its_caller_however_that_goes(eventually: Callable[..., None]) -> None:
    """`kill -9` of the caller closes the input of the process, which watches it."""
    program = f"""
import subprocess, sys
child = subprocess.Popen({COMMAND!r}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
child.stdin.write(sys.stdin.buffer.readline())
child.stdin.flush()
print(child.pid, flush=True)
child.wait()
"""
    caller = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with caller:
        assert caller.stdin is not None
        assert caller.stdout is not None
        caller.stdin.write(encode_planning(LONG) + b"\n")
        caller.stdin.flush()
        pid = int(caller.stdout.readline())
        caller.send_signal(signal.SIGKILL)
        eventually(lambda: not _alive(pid), within_s=8.0)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
