from __future__ import annotations

from routecast.analytics.fleet.words import Words

T = 1_700_000_000_000.0


def test_a_word_excludes_a_target_for_five_seconds() -> None:
    """And says when that is over."""
    words = Words()
    assert words.hear("a", "r1", T, tripped=True)
    assert [words.excluded("a", T + ms) for ms in (0, 4_999, 5_000)] == [True, True, False]
    assert not words.excluded("b", T)
    assert [words.lapsed(T, T + 4_999), words.lapsed(T, T + 5_000), words.lapsed(T + 5_000, T + 6_000)] == [False, True, False]


def test_whoever_speaks_a_target_is_excluded_at_most_every_half_minute() -> None:
    """Emitters' names cost nothing: a thousand of them must not close a target."""
    words = Words()
    heard = [words.hear("a", f"r{n}", T + 100 * n, tripped=True) for n in range(1000)]
    assert [n for n, it in enumerate(heard) if it] == [0, 300, 600, 900]


def test_a_router_that_stands_by_its_word_is_not_heard_again() -> None:
    """It only keeps standing: further failures of its own probes tell nobody anything."""
    words = Words()
    words.hear("a", "r1", T, tripped=True)
    assert not words.hear("a", "r1", T + 60_000, tripped=True)
    assert words.alone("a")


def test_an_unconfirmed_word_silences_its_router_for_ten_minutes() -> None:
    """A router whose network is broken trips again and again; nobody else needs to hear it."""
    words = Words()
    words.hear("a", "r1", T, tripped=True)
    words.advance(T + 6_000)
    words.hear("a", "r1", T + 7_000, tripped=False)
    assert not words.hear("a", "r1", T + 60_000, tripped=True)
    assert words.hear("a", "r2", T + 60_000, tripped=True)
    words.hear("a", "r1", T + 61_000, tripped=False)
    words.advance(T + 601_000)
    assert words.hear("a", "r1", T + 602_000, tripped=True)


def test_a_word_that_a_second_router_or_pooled_evidence_confirms_is_believed_again() -> None:
    """Whichever comes."""
    seconded, pooled = Words(), Words()
    for words in (seconded, pooled):
        words.hear("a", "r1", T, tripped=True)
    seconded.hear("a", "r2", T + 1_000, tripped=True)
    seconded.advance(T + 6_000)
    pooled.advance(T + 6_000)
    pooled.confirm("a")
    for words in (seconded, pooled):
        words.hear("a", "r1", T + 10_000, tripped=False)
        words.advance(T + 40_000)
        assert words.hear("a", "r1", T + 41_000, tripped=True)


def test_who_stands_alone() -> None:
    """Nobody, one, two, and one again when the other takes its word back; a word lapses after ten minutes."""
    words = Words()
    alone = [words.alone("a")]
    words.hear("a", "r1", T, tripped=True)
    alone.append(words.alone("a"))
    words.hear("a", "r2", T + 1, tripped=True)
    alone.append(words.alone("a"))
    words.hear("a", "r1", T + 2, tripped=False)
    alone.append(words.alone("a"))
    words.advance(T + 600_002)
    alone.append(words.alone("a"))
    assert alone == [False, True, False, True, False]


def test_a_target_by_which_nobody_stands_any_more_is_told_once() -> None:
    """When the last word was taken back, or has lapsed."""
    words = Words()
    for router in ("r1", "r2"):
        words.hear("a", router, T, tripped=True)
    words.hear("b", "r1", T, tripped=True)
    words.hear("a", "r1", T + 1, tripped=False)
    assert words.take_withdrawn() == []
    words.hear("a", "r2", T + 2, tripped=False)
    assert (words.take_withdrawn(), words.take_withdrawn()) == (["a"], [])
    words.advance(T + 600_000)
    assert words.take_withdrawn() == ["b"]


def test_no_more_than_a_thousand_routers_are_kept_in_mind() -> None:
    """However many names there are."""
    words = Words()
    for n in range(5_000):
        words.hear("a", f"r{n}", T, tripped=True)
    assert sum(map(len, words._standing.values())) == 1_000
