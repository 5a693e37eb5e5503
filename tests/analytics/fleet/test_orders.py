from __future__ import annotations

from routecast.analytics.fleet.orders import Orders
from routecast.models.events import Control


def test_the_newest_word_about_each_thing_counts() -> None:
    """A word that repeats another changes nothing; a policy for all takes back what was said of one."""
    orders = Orders()
    said = [
        Control(at_ms=1.0, action="drain", target="a"),
        Control(at_ms=1.0, action="drain", target="a"),
        Control(at_ms=1.0, action="set_weight", target="a", weight=3.0),
        Control(at_ms=1.0, action="set_policy", service="chat", policy="greedy"),
        Control(at_ms=1.0, action="set_policy", policy="weighted"),
        Control(at_ms=1.0, action="silence", until_ms=2.0),
    ]
    assert [orders.follow(word) for word in said] == [True, False, True, True, True, False]
    assert (orders.drained, orders.weights, orders.policy_of("chat")) == ({"a"}, {"a": 3.0}, "weighted")
    assert orders.follow(Control(at_ms=1.0, action="set_policy", service="chat"))
    assert (orders.policy_of("chat"), orders.policy_of("mail")) == ("", "weighted")
    assert Orders(**orders.state()).state() == orders.state()
    assert orders.follow(Control(at_ms=1.0, action="set_weight", target="a"))
    assert not orders.weights


def test_evidence_counts_while_operators_leave_it_the_choice() -> None:
    """Their word wins at once, for a service or for all; back on `auto`, configured or said, nothing is chosen yet."""
    orders, elected = Orders(), Control(at_ms=1.0, action="elect_policy", service="chat", policy="weighted", why="it is faster")
    assert orders.follow(elected)
    assert not orders.follow(elected)
    assert orders.followed("chat", "auto", elects=True) == ("weighted", "it is faster")
    assert orders.followed("mail", "auto", elects=True) == ("", "")
    assert orders.followed("chat", "performance", elects=True) == ("", "")
    assert orders.followed("chat", "auto", elects=False) == ("", "")
    for service in ("chat", ""):
        orders.follow(Control(at_ms=1.0, action="set_policy", service=service, policy="greedy"))
        assert orders.followed("chat", "auto", elects=True) == ("greedy", "")
        orders.follow(Control(at_ms=1.0, action="set_policy", service=service, policy="auto"))
        assert orders.followed("chat", "greedy", elects=True) == ("auto", "")
        orders.follow(elected)
        assert orders.followed("chat", "greedy", elects=True) == ("weighted", "it is faster")
    assert Orders(**orders.state()).state() == orders.state()
