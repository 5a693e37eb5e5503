"""Elections in a process of their own, `python -m routecast.streams.leadership.electing`: one line of JSON in, one out. See `evidence.py`."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from routecast.models.config import Config
from routecast.models.election import Election, ElectionInput, Elections
from routecast.models.errors import Unreachable
from routecast.streams.leadership.newest import NEWEST, write_newest
from routecast.streams.leadership.side_process import PYTHON, SideProcess, answer
from routecast.streams.memory import MemoryLog

LONGEST_S: Final = 300.0
"""An election that takes longer is given up."""
COMMAND: Final = (*PYTHON, "routecast.streams.leadership.electing")
_MOST_BYTES: Final = 2 << 30
"""Of data in memory: beyond it the process fails, not the machine."""


class Ballot:
    """One process that looks at the evidence once, of an embedded log by what it is handed. `stop` may be called from any thread."""

    def __init__(self, command: Sequence[str] = COMMAND, longest_s: float = LONGEST_S, log: MemoryLog | None = None) -> None:
        self._process = SideProcess(command, longest_s)
        self._log = log

    def elect(self, config: Config, following: Mapping[str, str], stretch_ms: float) -> tuple[Election, ...]:
        """Wait for what is chosen. Raises Unreachable where nothing is: the process died, was stopped, took too long or said something else."""
        with tempfile.TemporaryDirectory(prefix="routecast-election-", ignore_cleanup_errors=True) as folder:
            if self._log is not None:
                write_newest(self._log, config, Path(folder) / NEWEST, stretch_ms)
            asked = ElectionInput(config=config, following=dict(following), stretch_ms=stretch_ms, folder=folder, recorded=self._log is not None)
            found = self._process.ask(asked.model_dump_json().encode())
        try:
            return Elections.model_validate_json(found.said).elections
        except ValidationError as error:
            raise Unreachable(found.ended) from error

    def stop(self) -> None:
        """End the process, if there is one; no other begins."""
        self._process.stop()


def _reply(question: bytes) -> bytes:
    """In the process: the elections."""
    from routecast.streams.leadership.evidence import elections  # noqa: PLC0415 - the watch goes first, numpy is slow to import

    return asyncio.run(elections(ElectionInput.model_validate_json(question))).model_dump_json().encode() + b"\n"


def _tidy(question: bytes) -> None:
    """Remove the folder: nobody else will when the caller is gone."""
    with suppress(ValidationError):
        shutil.rmtree(ElectionInput.model_validate_json(question).folder, ignore_errors=True)


def _bound_memory() -> None:
    with suppress(ImportError):  # not every system has such limits
        import resource  # noqa: PLC0415 - of those that do

        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))


if __name__ == "__main__":
    _bound_memory()
    answer(float(sys.argv[1]) if len(sys.argv) > 1 else LONGEST_S, _reply, _tidy)
