from __future__ import annotations

import pytest
import typer

from routecast.cli.experiment_arms import arms_of
from routecast.models.config import TargetConfig

TARGETS = [
    TargetConfig(id=name, provider=provider, model=model, service="chat")
    for name, provider, model in (("east", "azure", "large"), ("west", "openai", "large"), ("small", "openai", "mini"))
]


def test_an_arm_may_have_some_targets_alone() -> None:
    """By id, model or provider; several conditions hold together, and weights of what is left are free."""
    arms = arms_of(["large:model=large", "mini:model=mini,share=0.1", "two:targets=east+small,weight.east=3", "one:provider=openai,model=large"], TARGETS)
    assert [arm.targets for arm in arms] == [("east", "west"), ("small",), ("east", "small"), ("west",)]
    assert [arm.weights for arm in arms] == [{}, {}, {"east": 3.0}, {}]
    assert [arm.share for arm in arms] == pytest.approx([0.3, 0.1, 0.3, 0.3])


@pytest.mark.parametrize(
    ("arm", "reason"),
    [
        ("b:model=huge", "model 'huge' is that of no target; there are large, mini"),
        ("b:targets=east+wst", "targets 'wst' is that of no target; there are east, small, west"),
        ("b:targets=east,model=mini", "no target is left for 'b'"),
        ("b:model", "is none of policy=NAME, share=NUMBER, targets=A+B, model=A+B"),
    ],
)
def test_an_arm_without_a_target_is_refused(arm: str, reason: str) -> None:
    """With what there is."""
    with pytest.raises(typer.BadParameter) as raised:
        arms_of(["a", arm], TARGETS)
    assert reason in raised.value.message
