from __future__ import annotations

import pytest

from routecast.analytics.backtest.fitted import Fits, fitted
from routecast.analytics.backtest.request_log import RequestLog
from routecast.analytics.backtest.scene import recorded_scene
from routecast.models.errors import CheckFailed
from routecast.models.events import Completed


@pytest.fixture(scope="module")
def fits(log: RequestLog) -> Fits:
    """Both targets of the small recording."""
    return fitted(log.traffic("chat"), {})


def test_the_targets_are_what_they_were(fits: Fits) -> None:
    """Slots, time alone and first chunk of both come out of the events alone."""
    a, b = fits.targets
    assert [a.fit.law.slots, b.fit.law.slots] == pytest.approx([2.0, 3.0], abs=1.0)
    assert [float(one.fit.work.fixed_ms * one.fit.spread.mean()) for one in (a, b)] == pytest.approx([157, 262], rel=0.15)
    assert a.first_chunk is not None
    assert a.first_chunk.fixed_ms == pytest.approx(40.0)
    assert [a.quality, b.quality] == pytest.approx([0.9, 0.6])


def test_an_outage_is_a_spell_and_not_the_usual(fits: Fits) -> None:
    """The failures of the outage are played at their time; outside it nothing fails."""
    _, b = fits.targets
    (spell,) = b.spells
    assert spell.outage
    assert [spell.from_ms - 1.7e12, spell.until_ms - 1.7e12] == pytest.approx([20_000, 35_000], abs=700)
    assert b.fit.fail_ratio == 0.0
    assert b.fail_ms.max() == pytest.approx(5.0)


def test_too_few_requests_are_refused() -> None:
    """The sentence says how many there are and how many are needed."""
    log = RequestLog()
    log.add(Completed(at_ms=2.0, started_at_ms=1.0, duration_ms=1.0, outcome="ok", request_id="r", target="a", service="chat"))
    with pytest.raises(CheckFailed, match=r"1 answered requests are too few to fit targets, 300 are needed"):
        fitted(log.traffic("chat"), {})


def test_a_scene_plays_the_recorded_arrivals(log: RequestLog, fits: Fits) -> None:
    """Times, tokens and routers are those of the recording; the newest are kept; another seed draws other times alone."""
    traffic = log.traffic("chat")
    one, other = (recorded_scene("chat", traffic, fits, {}, 500, seed) for seed in (1, 2))
    newest = [row for row in traffic.rows if row.first][-500:]
    assert one.requests.start_ms == newest[0].start_ms
    assert one.requests.at_ms.tolist() == [row.start_ms - newest[0].start_ms for row in newest]
    assert set(one.requests.router.tolist()) == {0, 1}
    assert set(one.requests.output_tokens.tolist()) == {50.0}
    assert one.requests.at_ms.tolist() == other.requests.at_ms.tolist()
    assert one.targets[0].alone_ms.tolist() != other.targets[0].alone_ms.tolist()
