from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routecast.dashboards.report.axis import Axis, Point, thinned

FINITE = st.floats(-1e9, 1e9)
_ANY = st.lists(st.tuples(st.floats(0, 1e6), st.one_of(st.none(), FINITE)), min_size=1, max_size=400)
POINTS = _ANY.map(lambda points: sorted(points, key=lambda point: point[0]))


@given(FINITE, st.floats(1e-3, 1e6), FINITE, FINITE)
def test_larger_values_lie_further_on(low: float, width: float, a: float, b: float) -> None:
    """Within the range of the page, and in the order of the values; the ends are at the ends."""
    axis = Axis(low, low + width, 10.0, 110.0)
    places = [axis.place(value) for value in sorted((a, b))]
    assert 10.0 <= places[0] <= places[1] <= 110.0
    assert (axis.place(low), axis.place(low + width)) == (10.0, 110.0)


@given(st.floats(1e-6, 1e6), st.floats(1.5, 1e6), st.booleans())
def test_ticks_are_few_and_within_the_range(low: float, ratio: float, log: bool) -> None:
    """In rising order, not more than a dozen or so."""
    axis = Axis(low, low * ratio, 0.0, 100.0, log)
    ticks = axis.ticks()
    assert len(ticks) <= 13
    assert ticks == sorted(set(ticks))
    assert all(low * (1 - 1e-6) <= tick <= low * ratio * (1 + 1e-6) for tick in ticks)


def test_a_logarithmic_axis_gives_equal_ratios_equal_room() -> None:
    """From 1 to 10 as far as from 10 to 100."""
    axis = Axis(1.0, 100.0, 0.0, 200.0, log=True)
    assert axis.place(10.0) == 100.0


@given(POINTS, st.integers(1, 50))
def test_thinning_keeps_the_least_and_the_most(points: list[Point], columns: int) -> None:
    """At most two points a column, all of them from the series, in its order, no spike lost."""
    found = thinned(points, columns)
    assert len(found) <= max(2 * columns, 1) or found == points
    assert all(point in points for point in found)
    assert [x for x, _ in found] == sorted(x for x, _ in found)
    known = [y for _, y in points if y is not None]
    kept = [y for _, y in found if y is not None]
    if known:
        assert (min(kept), max(kept)) == (min(known), max(known))
