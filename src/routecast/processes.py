"""Work shared with other processes of this machine."""

from __future__ import annotations

import signal
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def processes(jobs: int) -> Generator[ProcessPoolExecutor]:
    """A pool of so many processes that leave Ctrl-C to this one: whatever ends the block early ends them at once, without a word of theirs."""
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        _start(pool, jobs)
        yield pool
    except BaseException:
        for process in list(pool._processes.values()):  # noqa: SLF001 - waiting for what is queued is all that a pool offers
            process.terminate()
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def _start(pool: ProcessPoolExecutor, jobs: int) -> None:
    """Start all processes while this thread holds Ctrl-C back: they inherit that, and this thread hears it a moment later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        for _ in range(jobs):
            pool.submit(int)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
