"""What operators want of targets and policies, and what evidence chose where they leave it the choice: the newest word about each counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

from routecast.models.events import Control


class OrdersState(TypedDict):
    """Plain data, in an order of its own."""

    drained: list[str]
    weights: dict[str, float]
    policies: dict[str, str]
    elected: dict[str, tuple[str, str]]


class Orders:
    """A state machine without a clock."""

    def __init__(
        self, drained: Iterable[str] = (), weights: Mapping[str, float] | None = None, policies: Mapping[str, str] | None = None,
        elected: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:  # fmt: skip
        self.drained = set(drained)
        """Targets out of rotation."""
        self.weights = dict(weights or {})
        """By target, in place of the configured ones."""
        self.policies = dict(policies or {})
        """By service; "" stands for all, and as a policy for the configured one."""
        self.elected = dict(elected or {})
        """By service, the policy that `auto` stands for, and why."""

    def state(self) -> OrdersState:
        """To be kept."""
        return {
            "drained": sorted(self.drained), "weights": dict(sorted(self.weights.items())), "policies": dict(sorted(self.policies.items())),
            "elected": dict(sorted(self.elected.items())),
        }  # fmt: skip

    def follow(self, word: Control) -> bool:
        """Take a word; whether it changes anything. Words about other things do not."""
        before = self.state()
        if word.action == "drain":
            self.drained.add(word.target)
        elif word.action == "resume":
            self.drained.discard(word.target)
        elif word.action == "set_policy":
            self._switch(word)
        elif word.action == "elect_policy" and word.policy is not None:
            self.elected[word.service] = (word.policy, word.why)
        elif word.action == "set_weight" and word.weight is None:
            self.weights.pop(word.target, None)
        elif word.action == "set_weight" and word.weight is not None:
            self.weights[word.target] = word.weight
        return before != self.state()

    def _switch(self, word: Control) -> None:
        """A word about all services takes back what was said of any; whatever it says, `auto` begins without a choice."""
        if not word.service:
            self.policies.clear()
            self.elected.clear()
        self.policies.pop(word.service, None)
        self.elected.pop(word.service, None)
        if word.policy is not None:
            self.policies[word.service] = word.policy
        elif word.service and "" in self.policies:
            self.policies[word.service] = ""

    def policy_of(self, service: str) -> str:
        """What is wanted for a service; empty: the configured policy."""
        return self.policies.get(service, self.policies.get("", ""))

    def on_auto(self, service: str, configured: str) -> bool:
        """Whether the choice is left to the evidence: `auto` is wanted, or else configured."""
        return (self.policy_of(service) or configured) == "auto"

    def followed(self, service: str, configured: str, *, elects: bool) -> tuple[str, str]:
        """What routers are to follow, empty for what they are configured for, and why where evidence chose it; that counts where `elects`, on `auto` alone."""
        wanted = (self.policy_of(service), "")
        return self.elected.get(service, wanted) if elects and self.on_auto(service, configured) else wanted
