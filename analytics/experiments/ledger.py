"""All experiments that the leader follows: one at a time on a service, and those that have just ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from routecast.analytics.experiments.running import Running
from routecast.models.errors import DecodeError
from routecast.models.events import Control
from routecast.models.experiment_report import ExperimentReport
from routecast.models.experiments import Experiment
from routecast.models.rows import KEPT_MS, ArmTotals


class Ledger:
    """A state machine without a clock. Memory: some kB an experiment.

    Args:
        services: that are configured.
        period_ms: between reports.
    """

    def __init__(self, services: frozenset[str], period_ms: float) -> None:
        self._services = services
        self._period_ms = period_ms
        self._all: list[Running] = []
        self._looked_ms = 0.0
        self._news = False
        self.said_once = False
        """Whether the last look began, stopped or ended anything: a checkpoint should know of it before anybody else."""

    def state(self) -> dict[str, Any]:
        """To be taken right after a tick; empty where there is none."""
        return {"looked_ms": self._looked_ms, "all": [running.state() for running in self._all]} if self._all else {}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from where another one was. Raises DecodeError where the state does not fit."""
        try:
            self._all = [Running(None, item) for item in state.get("all", ())]
        except (msgspec.ValidationError, LookupError, TypeError) as error:
            raise DecodeError(f"checkpoint: experiments do not fit: {error}") from error
        self._looked_ms = state.get("looked_ms", 0.0)

    def follow(self, word: Control) -> bool:
        """Take an operator's word; whether it changes anything. One that starts a second experiment on a service does not."""
        if word.action == "start_experiment" and word.experiment is not None:
            return self._start(word.experiment)
        ended = [running for running in self._running(word.service) if word.action == "stop_experiment" and running.experiment.id == word.name]
        for running in ended:
            running.end(word.at_ms, "operator", word.why)
        self._news |= bool(ended)
        return bool(ended)

    def _start(self, experiment: Experiment) -> bool:
        known = any(running.experiment.id == experiment.id for running in self._all)
        if known or self._running(experiment.service) or experiment.service not in self._services:
            return False
        self._all.append(Running(experiment))
        self._news = True
        return True

    def _running(self, service: str) -> list[Running]:
        return [running for running in self._all if running.experiment.service == service and running.ended_ms is None]

    def of(self, service: str) -> Experiment | None:
        """What the routers of a service are to do."""
        return next((running.published for running in self._running(service)), None)

    def look(self, at_ms: float, sums: Callable[[], Mapping[str, ArmTotals]]) -> list[ExperimentReport]:
        """How all of them stand, where something was said or it is time; those that ended ten minutes ago are forgotten, after their last answers."""
        self.said_once = False
        if not (self._news or (self._all and abs(at_ms - self._looked_ms) >= self._period_ms)):
            return []
        before, totals = [running.published for running in self._all], sums()
        reports = [running.look(at_ms, totals) for running in self._all]
        self.said_once = self._news or before != [running.published for running in self._all]
        self._looked_ms, self._news = at_ms - at_ms % self._period_ms, False
        self._all = [running for running in self._all if running.ended_ms is None or at_ms - running.ended_ms < KEPT_MS]
        return reports
