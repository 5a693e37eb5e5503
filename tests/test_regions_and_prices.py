"""Where callers are, what requests cost and how complex they are, from events to decisions, as applications meet it."""

from __future__ import annotations

import random

import pytest

from routecast.models.config import Config
from routecast.models.requirements import Requirements
from routecast.models.snapshot import TargetScore
from routecast.streams.calls.call import Call
from routecast.testing import Fleet

NEAR_MS, FAR_MS = 100.0, 900.0


def _fleet(**routing: object) -> Fleet:
    prices = {"input_usd_per_mtok": 2.0, "output_usd_per_mtok": 10.0}
    targets = [{"id": name, "provider": name, "model": "m", "service": "chat", **prices} for name in ("east", "west")]
    return Fleet(Config.model_validate({"target": targets, "routing": routing}), routers=2, period_ms=1000, seed=5)


def _history(fleet: Fleet, *, discount: float = 1.0) -> None:
    """East is near the callers in `us-east`, west to those in `us-west`; west charges `discount` times its list price."""
    luck = random.Random(3)
    for _ in range(1200):
        region, name = luck.choice(["us-east", "us-west"]), luck.choice(["east", "west"])
        first_ms = NEAR_MS if region.endswith(name) else FAR_MS
        cost = (500 * 2.0 + 100 * 10.0) / 1e6 * (discount if name == "west" else 1.0)
        fleet.router(0).emitter.completed(
            "x", name, "ok", first_ms + 1000.0, service="chat", ttft_ms=first_ms, caller_region=region, input_tokens=500, output_tokens=100, cost_usd=cost
        )
        fleet.advance_to(fleet.now_ms + 20.0)
    fleet.advance_to(fleet.now_ms + 12_000.0)


def _entries(fleet: Fleet) -> dict[str, TargetScore]:
    snapshot = fleet.snapshot()
    assert snapshot is not None
    return {entry.id: entry for entry in snapshot.targets}


def _share_of_west(fleet: Fleet, requirements: Requirements | None = None) -> float:
    return sum(fleet.router(0).choose(requirements).target == "west" for _ in range(1000)) / 1000


def test_callers_are_sent_to_the_target_near_them() -> None:
    """The same targets, other callers: the offset is published and acts on the cost; an unknown region changes nothing."""
    fleet = _fleet()
    _history(fleet)
    offsets = _entries(fleet)["west"].regions_ms
    assert offsets["us-west"] == pytest.approx(-200, abs=40)
    assert offsets["us-east"] == pytest.approx(600, abs=40)
    west, east, nowhere = (_share_of_west(fleet, Requirements(caller_region=region)) for region in ("us-west", "us-east", "mars"))
    assert west > 0.9
    assert east < 0.1
    assert nowhere == pytest.approx(_share_of_west(fleet), abs=0.08)


def test_a_deadline_is_judged_by_the_callers_way() -> None:
    """Enough for the near caller and not for the far one."""
    fleet = _fleet()
    _history(fleet)
    asked = {region: Requirements(max_response_time_ms=1900, caller_region=region, excluded=("west",)) for region in ("us-east", "us-west")}
    assert {region: fleet.router(0).choose(it).forced for region, it in asked.items()} == {"us-east": "", "us-west": "unmet"}


def test_requests_report_the_region_of_their_caller() -> None:
    """Start and end carry it, so that the fleet learns from every router."""
    fleet = _fleet()
    for i in range(200):
        call = fleet.router(i % 2).start(fleet.router(i % 2).choose(Requirements(caller_region="eu" if i % 4 < 2 else "ap")))
        fleet.advance_to(fleet.now_ms + (50.0 if i % 4 < 2 else 400.0))
        call.finish()
    fleet.advance_to(fleet.now_ms + 3000.0)
    assert all(set(entry.regions_ms) == {"ap", "eu"} and entry.regions_ms["ap"] > 0 > entry.regions_ms["eu"] for entry in _entries(fleet).values())


def test_what_requests_really_cost_counts() -> None:
    """Cached prompts halve what west charges: it is published, steers where money counts, and meets a limit that its list price does not."""
    fleet = _fleet(usd_per_second=0.0005)
    _history(fleet, discount=0.5)
    entries = _entries(fleet)
    assert entries["east"].usd == pytest.approx(0.002, rel=0.02)
    assert entries["west"].usd == pytest.approx(0.001, rel=0.05)
    assert _share_of_west(fleet) > 0.9
    limited = fleet.router(0).choose(Requirements(max_cost_usd=0.0015))
    assert (limited.target, limited.forced) == ("west", "")


@pytest.mark.untraced
def test_a_fleet_keeps_to_its_budget_and_buys_as_much_speed_as_it_allows() -> None:
    """A fast dear target and a slow cheap one: without a budget the fast one gets nearly all; with one the mean price settles at it."""
    spent = {}
    for budget in (0.0, 0.0015):
        targets = [
            {"id": name, "provider": name, "model": "m", "service": "chat", "output_usd_per_mtok": usd} for name, usd in (("dear", 20.0), ("cheap", 8.0))
        ]
        config = Config.model_validate({"target": targets, "routing": {"budget_usd_per_request": budget}})
        fleet, luck, usd = Fleet(config, routers=1, period_ms=1000, seed=5), random.Random(3), list[float]()
        for number in range(7000):
            call = fleet.router(0).start(fleet.router(0).choose())
            dear = call.decision.target == "dear"
            price = 0.002 if dear else 0.0008
            usd += [price] if number >= 2500 else []

            def answer(call: Call = call, price: float = price) -> None:
                call.tokens(output=100)
                call.cost(price)
                call.finish()

            fleet.queue.after(luck.lognormvariate(0.0, 0.3) * (300.0 if dear else 900.0), answer)
            fleet.advance_to(fleet.now_ms + 50.0)
        spent[budget] = sum(usd) / len(usd)
    assert spent[0.0] > 0.0018
    assert spent[0.0015] == pytest.approx(0.0015, rel=0.05)


def test_complexity_scales_price_time_and_deadline_together() -> None:
    """Half the tokens of a trivial context, one and a half of a complex one; its deadline and quality follow where the caller gave none."""
    fleet = _fleet(usd_per_second=0.001)
    _history(fleet)
    costs = [min(fleet.router(0).choose(Requirements(complexity=c, quality_threshold=0, max_response_time_ms=60_000)).costs) for c in (0.0, 0.5, 1.0)]
    assert costs[1] - costs[0] == pytest.approx(costs[2] - costs[1], rel=0.05)
    assert costs[2] - costs[1] == pytest.approx(
        (0.5 * 1.0 + 0.5 * 0.002 / 0.001) * 0.5, rel=0.1
    )  # half of a second of tokens, and of 2 s of money, at load 0.5
    cheap, dear = (fleet.router(0).choose(Requirements(complexity=c, max_cost_usd=0.0025)).forced for c in (0.5, 1.0))
    assert (cheap, dear) == ("", "unmet")
    asked = [Requirements(complexity=c) for c in (0.5, 0.7, 0.9)]
    assert [(it.deadline_ms, it.least_quality) for it in asked] == [(5_000, 0.8), (5_000, 0.9), (15_000, 0.9)]


def test_a_router_names_the_model() -> None:
    """From its newest snapshot."""
    fleet = _fleet()
    _history(fleet)
    found = fleet.router(0).select_model(response_time_ms=5000, quality=0.7)
    assert (found.model, found.met, found.snapshot) == ("m", True, fleet.router(0).choose().snapshot)
    assert found.candidates[0].p95_ms == pytest.approx(1900, rel=0.05)
