"""What operators want of targets and policies: the newest word about each counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

from routecast.models.events import Control


class OrdersState(TypedDict):
    """Plain data, in an order of its own."""

    drained: list[str]
    weights: dict[str, float]
    policies: dict[str, str]


class Orders:
    """A state machine without a clock."""

    def __init__(self, drained: Iterable[str] = (), weights: Mapping[str, float] | None = None, policies: Mapping[str, str] | None = None) -> None:
        self.drained = set(drained)
        """Targets out of rotation."""
        self.weights = dict(weights or {})
        """By target, in place of the configured ones."""
        self.policies = dict(policies or {})
        """By service; "" stands for all, and as a policy for the configured one."""

    def state(self) -> OrdersState:
        """To be kept."""
        return {"drained": sorted(self.drained), "weights": dict(sorted(self.weights.items())), "policies": dict(sorted(self.policies.items()))}

    def follow(self, word: Control) -> bool:
        """Take a word; whether it changes anything. Words about other things do not."""
        before = (set(self.drained), dict(self.weights), dict(self.policies))
        if word.action == "drain":
            self.drained.add(word.target)
        elif word.action == "resume":
            self.drained.discard(word.target)
        elif word.action == "set_policy":
            self._switch(word)
        elif word.action == "set_weight" and word.weight is None:
            self.weights.pop(word.target, None)
        elif word.action == "set_weight" and word.weight is not None:
            self.weights[word.target] = word.weight
        return before != (self.drained, self.weights, self.policies)

    def _switch(self, word: Control) -> None:
        """A word about all services takes back what was said of any."""
        if not word.service:
            self.policies.clear()
        self.policies.pop(word.service, None)
        if word.policy is not None:
            self.policies[word.service] = word.policy
        elif word.service and "" in self.policies:
            self.policies[word.service] = ""

    def policy_of(self, service: str) -> str:
        """What is wanted for a service; empty: the configured policy."""
        return self.policies.get(service, self.policies.get("", ""))
