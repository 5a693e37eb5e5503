from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.recommendations.contradictions import Weighed, contradict, contradicts_capacity, resolved
from routecast.models.capacity import ScaleHint
from routecast.models.recommendation import Recommendation
from routecast.models.severity import SEVERITIES
from routecast.models.subject import Subject

UP, DOWN, STAY = (ScaleHint(action=action, reason="") for action in ("up", "down", "none"))


def recommendation(kind: str, target: str = "a", priority: str = "medium", to: float = 2.0) -> Recommendation:
    """Of a target, or of the service where that is whom it is about; weights go from 1 to `to`."""
    subject = Subject(kind="service", id="chat") if kind == "add_target" else Subject(kind="target", id=target)
    plain = {"kind": kind, "priority": priority, "subject": subject, "description": "", "action": "", "since_ms": 0.0}
    figures = {"weight": 1.0, "wanted_weight": to} if kind == "change_weight" else {}
    return Recommendation.model_validate({"id": f"{kind}/{subject.id}", "figures": figures, **plain})


def kept(*found: Recommendation, scale: ScaleHint = STAY, standing: tuple[str, ...] = ()) -> list[str]:
    """Ids of what stays, all with the same gain."""
    return [item.id for item in resolved([Weighed(item, 0.5) for item in found], scale, standing)]


def test_nobody_is_to_drain_a_target_and_do_anything_else_with_it() -> None:
    """Raise its limit, weigh it, talk about its price or look at its answers: the more urgent stays."""
    for kind in ("raise_limit", "change_weight", "look_at_quality", "renegotiate_cost"):
        assert kept(recommendation("drain", priority="high"), recommendation(kind)) == ["drain/a"]
        assert kept(recommendation("drain"), recommendation(kind, priority="high")) == [f"{kind}/a"]


def test_nobody_is_to_send_a_target_more_and_doubt_it() -> None:
    """More by a limit or a weight, less by a weight or because of its answers; both ways of more go together."""
    assert len(kept(recommendation("raise_limit"), recommendation("look_at_quality"))) == 1
    assert len(kept(recommendation("raise_limit"), recommendation("change_weight", to=0.5))) == 1
    assert len(kept(recommendation("raise_limit"), recommendation("change_weight", to=2.0))) == 2


def test_only_one_target_is_moved_at_a_time() -> None:
    """Two drains together were never simulated."""
    assert kept(recommendation("drain", "a"), recommendation("drain", "b", "high")) == ["drain/b"]
    assert kept(recommendation("drain", "a", "high"), recommendation("change_weight", "b")) == ["drain/a"]


def test_advice_and_capacity_agree() -> None:
    """No target goes while capacity must grow, and none comes while half would do; a drain and another target exclude each other."""
    assert kept(recommendation("drain", priority="high"), recommendation("add_target"), scale=UP) == ["add_target/chat"]
    assert kept(recommendation("add_target"), recommendation("raise_limit"), recommendation("drain", "b"), scale=DOWN) == ["drain/b"]
    assert len(kept(recommendation("drain"), recommendation("add_target"))) == 1


def test_among_equals_what_stands_stays() -> None:
    """Whatever brings a little more today."""
    found = [Weighed(recommendation("drain", "a"), 0.9), Weighed(recommendation("drain", "b"), 0.3)]
    assert [item.id for item in resolved(found, STAY)] == ["drain/a"]
    assert [item.id for item in resolved(found, STAY, ["drain/b"])] == ["drain/b"]


KINDS = ["drain", "raise_limit", "add_target", "change_weight", "look_at_quality", "renegotiate_cost"]
recommendations = st.builds(
    recommendation, st.sampled_from(KINDS), st.sampled_from("abc"), st.sampled_from(SEVERITIES), st.sampled_from([0.5, 2.0])
)  # fmt: skip


@given(st.lists(st.tuples(recommendations, st.floats(0, 1)), max_size=12), st.sampled_from([UP, DOWN, STAY]), st.randoms(use_true_random=False))
def test_what_stays_contradicts_nothing_and_nothing_goes_without_need(
    found: list[tuple[Recommendation, float]], scale: ScaleHint, luck: random.Random
) -> None:  # fmt: skip
    """Whatever is left out contradicts something more urgent that stays, or capacity; the order in which it was found plays no part."""
    weighed = list({item.id: Weighed(item, gain) for item, gain in found}.values())
    stays = resolved(weighed, scale)
    shuffled = weighed.copy()
    luck.shuffle(shuffled)
    assert resolved(shuffled, scale) == stays
    assert not any(contradict(one, other) for i, one in enumerate(stays) for other in stays[i + 1 :])
    for item, _ in weighed:
        reasons = [
            other for other in stays if other != item and contradict(item, other) and SEVERITIES.index(other.priority) >= SEVERITIES.index(item.priority)
        ]
        assert (item in stays) != (contradicts_capacity(item, scale) or bool(reasons))
    assert all(contradict(one, other) == contradict(other, one) for one, _ in weighed for other, _ in weighed)
