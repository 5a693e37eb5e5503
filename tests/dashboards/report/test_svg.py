from __future__ import annotations

import re
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.dashboards.report.svg import WIDTH, Bar, Line, Span, bars, heat, lines, standalone, timeline

NAMES = st.text(max_size=40)
VALUES = st.floats(0.0, 1e7)


def words(value: float) -> str:
    """Four digits."""
    return f"{value:.4g}"


def parsed(svg: str) -> Element:
    """The chart, which is well-formed; its title is its label."""
    root = fromstring(svg)
    title = root.find("title")
    assert title is not None
    assert root.get("role") == "img"
    assert (title.text or "") == root.get("aria-label")
    return root


def inside(root: Element) -> bool:
    """Whether everything that is drawn lies within the view box."""
    _, _, width, height = map(float, (root.get("viewBox") or "").split())
    for rect in root.iter("rect"):
        x, y, w, h = (float(rect.get(name) or 0) for name in ("x", "y", "width", "height"))
        if x < 0 or y < 0 or x + w > width + 1 or y + h > height + 1:
            return False
    points = [pair.split(",") for shape in (*root.iter("polyline"), *root.iter("polygon")) for pair in (shape.get("points") or "").split()]
    return all(-0.1 <= float(x) <= width + 0.1 and -0.1 <= float(y) <= height + 0.1 for x, y in points)


@given(st.lists(st.tuples(NAMES, VALUES, st.floats(0, 1), st.floats(1, 3)), min_size=1, max_size=8), st.booleans())
def test_bars_are_as_long_as_their_values(found: list[tuple[str, float, float, float]], log: bool) -> None:
    """Longer for more, proportional where the axis is not logarithmic, inside the picture, each with its name and figure."""
    made = [Bar(name, value, value * low, value * high) for name, value, low, high in found]
    root = parsed(bars("t", made, words=words, log=log))
    assert inside(root)
    widths = [float(rect.get("width") or 0) for rect in root.iter("rect")]
    assert len(widths) == len(made)
    for (wide, a), (other, b) in zip(zip(widths, made, strict=True), zip(widths[1:], made[1:], strict=False), strict=False):
        assert (a.value > b.value) <= (wide >= other - 0.2)
        if not log and min(a.value, b.value) > 0 and min(wide, other) > 20:
            assert wide / other == pytest.approx(a.value / b.value, rel=0.02)


@given(
    st.lists(st.lists(st.one_of(st.none(), VALUES), min_size=1, max_size=60), min_size=1, max_size=5), st.booleans(),
    st.lists(st.tuples(st.floats(-10, 70), st.floats(-10, 70)), max_size=3),
)  # fmt: skip
def test_lines_stay_inside_whatever_they_hold(series: list[list[float | None]], log: bool, marks: list[tuple[float, float]]) -> None:
    """Gaps, zeros, single points, bands and marks beyond the range too."""
    made = [
        Line(f"s{i}", list(enumerate(values)), [(x, y * 0.5, y * 2.0) for x, y in enumerate(values) if y is not None] if not i else ())
        for i, values in enumerate(series)
    ]
    stretches = [(min(pair), max(pair), "trouble") for pair in marks]
    assert inside(parsed(lines("t", made, x_words=words, y_words=words, log=log, marks=stretches)))


def test_a_gap_splits_a_line() -> None:
    """Nothing is drawn over a time of which nothing is known."""
    root = parsed(lines("t", [Line("a", [(0, 1.0), (1, 2.0), (2, None), (3, 2.0), (4, 1.0)])], x_words=words, y_words=words))
    assert len(list(root.iter("polyline"))) == 2


def test_a_spike_of_a_long_series_is_drawn() -> None:
    """A hundred thousand points become some fifteen hundred, and the highest is among them."""
    points = [(float(i), 1.0 if i != 54_321 else 50.0) for i in range(100_000)]
    root = parsed(lines("t", [Line("a", points)], x_words=words, y_words=words))
    (line,) = root.iter("polyline")
    heights = [float(pair.split(",")[1]) for pair in (line.get("points") or "").split()]
    assert len(heights) <= 2 * WIDTH
    assert min(heights) < 70 < max(heights)


@given(st.lists(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=40), min_size=1, max_size=6))
def test_every_cell_with_a_value_is_shaded(rows: list[list[float]]) -> None:
    """The cells of a row cover as many steps as have values above 0; all inside."""
    root = parsed(heat("t", [(f"r{i}", values) for i, values in enumerate(rows)], step=1.0, x_words=words, words=words))
    drawn = sum(float(w) for path in root.iter("path") for w in re.findall(r"h([\d.]+)v", path.get("d") or ""))
    cells = max(len(values) for values in rows)
    expected = sum(value > 0 for values in rows for value in values) * (WIDTH - 14 - 150) / cells
    assert drawn == pytest.approx(expected, abs=0.11 * (1 + cells * len(rows)))


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=10))
def test_stretches_lie_where_they_were(spans: list[tuple[float, float]]) -> None:
    """In the row of their name, inside, with words for those who cannot see them; rows that nobody named are left out."""
    made = [Span("a" if i % 2 else "stranger", min(pair), max(pair), i, f"stretch {i}") for i, pair in enumerate(spans)]
    root = parsed(timeline("t", ["a", "b"], made, end=100.0, x_words=words))
    assert inside(root)
    assert [title.text for rect in root.iter("rect") for title in rect.iter("title")] == [span.words for span in made if span.row == "a"]


@given(NAMES)
def test_no_text_becomes_markup(name: str) -> None:
    """Whatever a target is called, the chart is well-formed, and its elements are ours."""
    charts = [
        bars(name, [Bar(name, 1.0, 0.5, 2.0)], words=lambda _: name),
        lines(name, [Line(name, [(0, 1.0), (1, 2.0)])], x_words=words, y_words=lambda _: name, marks=[(0, 1, name)]),
        heat(name, [(name, [0.5])], step=1.0, x_words=words, words=lambda _: name),
        timeline(name, [name], [Span(name, 0, 1, 0, name)], end=1.0, x_words=words),
    ]
    for chart in charts:
        tags = {element.tag for element in fromstring(chart).iter()}
        assert tags <= {"svg", "title", "desc", "text", "rect", "line", "path", "polyline", "polygon", "circle"}


@pytest.mark.parametrize(
    "chart",
    [
        bars("t", [], words=words), lines("t", [], x_words=words, y_words=words), heat("t", [], step=1.0, x_words=words, words=words),
        lines("t", [Line("a", [(0, None)])], x_words=words, y_words=words), timeline("t", [], [], end=1.0, x_words=words),
    ],
)  # fmt: skip
def test_a_chart_of_nothing_says_so(chart: str) -> None:
    """Instead of an empty frame."""
    assert "nothing to show" in chart


def test_a_chart_stands_alone() -> None:
    """As a picture of its own it is XML with its own colours, on paper of its own."""
    drawn = standalone(bars("waits", [Bar("a", 1.0, 0.5, 1.5)], words=str))
    root = fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "--paper" in (root.findtext("{http://www.w3.org/2000/svg}style") or "")
