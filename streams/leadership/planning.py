"""Plans in a process of their own, `python -m routecast.streams.leadership.planning`: one line of JSON in, a line for each insight out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from routecast.models.capacity import Capacity
from routecast.models.errors import DecodeError, Unreachable
from routecast.models.insights import Insight, Recommendations, decode_insight, encode_insight
from routecast.models.planning import PlanningInput, decode_planning, encode_planning
from routecast.streams.leadership.side_process import PYTHON, Answer, SideProcess, answer

LONGEST_S: Final = 300.0
"""A plan that takes longer is given up."""
COMMAND: Final = (*PYTHON, "routecast.streams.leadership.planning")


class Child:
    """One process that makes one plan. `stop` may be called from any thread."""

    def __init__(self, command: Sequence[str] = COMMAND, longest_s: float = LONGEST_S) -> None:
        self._process = SideProcess(command, longest_s)

    @property
    def begun(self) -> bool:
        """Whether the process was started."""
        return self._process.begun

    def plan(self, planning: PlanningInput) -> tuple[Capacity, Recommendations]:
        """Wait for the plan. Raises Unreachable where there is none: the process died, was stopped, took too long or said something else."""
        return _understood(planning.service, self._process.ask(encode_planning(planning)))

    def stop(self) -> None:
        """End the process, if there is one; no other begins."""
        self._process.stop()


def _understood(service: str, found: Answer) -> tuple[Capacity, Recommendations]:
    try:
        capacity, recommendations = (decode_insight(line) for line in found.said.splitlines())
    except (DecodeError, ValueError) as error:
        raise Unreachable(f"no plan of {service!r}: {found.ended}") from error
    if not (isinstance(capacity, Capacity) and isinstance(recommendations, Recommendations) and {capacity.service, recommendations.service} == {service}):
        raise Unreachable(f"no plan of {service!r}: the process spoke of something else")
    return capacity, recommendations


def encoded(insights: Sequence[Insight]) -> bytes:
    """A line for each."""
    return b"".join(encode_insight(insight) + b"\n" for insight in insights)


def _reply(question: bytes) -> bytes:
    from routecast.analytics.insights.planning import plan  # noqa: PLC0415 - the watch goes first, numpy is slow to import

    return encoded(plan(decode_planning(question)))


if __name__ == "__main__":
    answer(float(sys.argv[1]) if len(sys.argv) > 1 else LONGEST_S, _reply)
