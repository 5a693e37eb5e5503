from __future__ import annotations

import os
import signal
import subprocess
import sys
from multiprocessing import active_children
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from routecast.processes import processes

SCRIPT = """
import signal, sys, time
from routecast.processes import processes

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with processes(2) as pool:
            waiting = [pool.submit(time.sleep, 600) for _ in range(6)]
            assert pool.submit(int) and not waiting[0].done()
            print("at work", flush=True)
            waiting[0].result()
    except KeyboardInterrupt:
        sys.exit(7)
"""


def test_ctrl_c_ends_all_processes_at_once_and_one_of_them_speaks(tmp_path: Path) -> None:
    """A terminal sends it to all; what is queued is not worked off first."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (7, "")


def test_processes_leave_ctrl_c_to_the_one_that_asked() -> None:
    """They work on: it is who asked that ends them."""
    with processes(2) as pool:
        pool.submit(int).result()
        for process in active_children():
            os.kill(process.pid or 0, signal.SIGINT)
        assert wait([process.sentinel for process in active_children()], timeout=0.5) == []
        assert pool.submit(divmod, 7, 2).result() == (3, 1)


def test_work_is_shared_and_an_error_comes_out() -> None:
    """With its own class."""
    with processes(2) as pool:
        assert [it.result() for it in [pool.submit(divmod, 7, n) for n in (2, 3)]] == [(3, 1), (2, 1)]
    with pytest.raises(ZeroDivisionError), processes(1) as pool:
        pool.submit(divmod, 7, 0).result()
