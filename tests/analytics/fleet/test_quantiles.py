from __future__ import annotations

from routecast.analytics.fleet.quantiles import Quantiles, to_publish
from routecast.models.config import TargetConfig


def _target(name: str, model: str) -> TargetConfig:
    return TargetConfig(id=name, provider="p", model=model, service="chat")


TARGETS = [_target("a", "m"), _target("b", "m"), _target("c", "m"), _target("x", "m"), _target("y", "other")]
KNOWN = {"a": Quantiles((1.0, 2.0), (5.0, 6.0)), "b": Quantiles((3.0, 9.0), ()), "c": Quantiles((2.0, 4.0), (7.0, 8.0))}


def test_a_newcomer_has_the_median_quantiles_of_the_same_model_elsewhere() -> None:
    """At each probability; one whose model nobody else has stays without."""
    published = to_publish(TARGETS, [False, False, False, True, True], KNOWN)
    assert published[3:] == [Quantiles((2.0, 4.0), (6.0, 7.0)), Quantiles()]
    assert published[:3] == [KNOWN["a"], KNOWN["b"], KNOWN["c"]]


def test_only_a_newcomer_borrows() -> None:
    """One that is known and has no quantiles now stays without, and a newcomer keeps its own."""
    assert to_publish(TARGETS, [False] * 5, KNOWN)[3] == Quantiles()
    own = Quantiles((7.0, 8.0), ())
    assert to_publish(TARGETS, [False, False, False, True, True], KNOWN | {"x": own})[3] == own
