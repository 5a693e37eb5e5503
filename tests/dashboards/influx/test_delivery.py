from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.dashboards.influx.delivery import MOST_WAIT_S, Answer, Delivery, Rejected, Send, Wait, parts, quoted
from routecast.dashboards.influx.line_protocol import Destination, Line
from routecast.models.errors import Unreachable

NOW_MS = 1_700_000_000_000.0
PLACE = Destination("7d", "ms")
WITNESS = Line(b"witness x=1i 1", PLACE, "pipeline", int(NOW_MS))
STORED = Answer(204)
AWAY = Answer(503, "away")


def _line(number: int, measurement: str = "m", age_ms: float = 0.0) -> Line:
    return Line(f"{measurement},t={number} x={number}i".encode(), PLACE, measurement, int(NOW_MS - age_ms))


LINES = [_line(i) for i in range(8)]


class Server:
    """Answers by rules, first that fits; remembers what it was sent, what it has stored, and for how long it was left alone."""

    def __init__(self, *rules: Callable[[Sequence[Line]], Answer | None]) -> None:
        self.rules = rules
        self.sent: list[Sequence[Line]] = []
        self.stored: set[bytes] = set()
        self.waits: list[float] = []

    def deliver(self, lines: Sequence[Line], steps: int = 2000) -> Delivery:
        """Carry a delivery out, to its end or for so many steps."""
        delivery = Delivery(lines, WITNESS, random.Random(1), NOW_MS)
        for _ in range(steps):
            step = delivery.step()
            if step is None:
                break
            if isinstance(step, Wait):
                self.waits.append(step.seconds)
            else:
                delivery.answered(self._answer(step))
        return delivery

    def _answer(self, step: Send) -> Answer:
        self.sent.append(step.lines)
        answer = next((found for rule in self.rules if (found := rule(step.lines)) is not None), STORED)
        if answer.status == 204:
            self.stored |= {line.text for line in step.lines}
        return answer


def _first(*answers: Answer) -> Callable[[Sequence[Line]], Answer | None]:
    """These answers, one after the other, whatever is sent."""
    left = list(answers)
    return lambda _: left.pop(0) if left else None


def _with(bad: Sequence[Line], answer: Answer) -> Callable[[Sequence[Line]], Answer | None]:
    """This answer to whatever holds one of these lines."""
    return lambda lines: answer if {line.text for line in lines} & {line.text for line in bad} else None


def _texts(lines: Sequence[Line]) -> set[bytes]:
    return {line.text for line in lines}


def test_what_is_stored_is_done() -> None:
    """One request, nothing rejected."""
    server = Server()
    delivery = server.deliver(LINES)
    assert (server.sent, delivery.rejected, delivery.stored, delivery.witness) == ([LINES], [], 8, LINES[-1])


def test_nothing_needs_no_request() -> None:
    """An empty batch is stored."""
    assert Server().deliver([]).step() is None


@pytest.mark.parametrize("answer", [Answer(0, "reset"), Answer(429, "slow"), Answer(500, "x"), Answer(502, "x"), Answer(503, "x"), Answer(504, "x")])
def test_an_outage_is_waited_for_and_costs_nothing(answer: Answer) -> None:
    """However long; then the same lines are sent, in one piece while nothing else is known."""
    server = Server(_first(*[answer] * 50))
    delivery = server.deliver(LINES)
    assert _texts(LINES) <= server.stored
    assert (delivery.rejected, delivery.failures) == ([], 0)
    assert all(set(sent) in ({*LINES}, {WITNESS}) for sent in server.sent)


def test_waits_grow_to_a_bound_with_full_jitter() -> None:
    """Half a second, twice as long each time, thirty at most, a random part of it."""
    server = Server(lambda _: AWAY)
    delivery = server.deliver(LINES, steps=400)
    assert delivery.failures == 200
    assert all(wait <= min(MOST_WAIT_S, 0.5 * 2**i) for i, wait in enumerate(server.waits))
    late = sorted(server.waits[10:])
    assert late[0] < 1
    assert 12 < late[len(late) // 2] < 18
    assert 28 < late[-1] <= MOST_WAIT_S


@pytest.mark.parametrize(("header", "least"), [("7", 7.0), ("100000", 300.0), ("soon", 0.0), ("", 0.0), ("-5", 0.0)])
def test_a_server_that_says_how_long_is_believed(header: str, least: float) -> None:
    """Up to five minutes; what is no number of seconds is not heeded."""
    server = Server(_first(Answer(429, "slow down", header)))
    server.deliver(LINES)
    assert (server.waits[0] >= least, server.waits[0] < least + 30) == (True, True)


def test_lines_that_cannot_be_read_are_quoted_and_the_others_are_sent_again() -> None:
    """With the server's reason for each; quotes and colons in a line do no harm."""
    odd = Line(b"m,t=it's':\\ x=bad 1", PLACE, "m", int(NOW_MS))
    message = f"unable to parse '{odd.text.decode()}': invalid boolean\nunable to parse '{LINES[2].text.decode()}': missing tag value"
    server = Server(_with([odd, LINES[2]], Answer(400, message)))
    delivery = server.deliver([*LINES, odd])
    assert delivery.rejected == [Rejected(LINES[2], "missing tag value"), Rejected(odd, "invalid boolean")]
    assert server.stored == _texts(LINES) - {LINES[2].text}
    assert len(server.sent) == 2


def test_a_quote_that_fits_no_line_is_found_by_halving() -> None:
    """Some servers shorten what they quote."""
    server = Server(_with([LINES[5]], Answer(400, "unable to parse 'm,t=5 x…': invalid")))
    delivery = server.deliver(LINES)
    assert delivery.rejected == [Rejected(LINES[5], "unable to parse 'm,t=5 x…': invalid")]
    assert server.stored == _texts(LINES) - {LINES[5].text}


def test_lines_that_are_too_old_are_found_by_their_age() -> None:
    """And rejected by the server's word, not by our clock alone; the others are sent again, since N is only a lower bound."""
    old = [_line(90, age_ms=8 * 86_400_000), _line(91, age_ms=9 * 86_400_000)]
    message = "partial write: dropped 2 points outside retention policy … dropped=2"
    server = Server(_with(old, Answer(422, message)))
    delivery = server.deliver([old[0], *LINES, old[1]])
    assert delivery.rejected == [Rejected(line, message) for line in old]
    assert (server.stored, len(server.sent)) == (_texts(LINES), 3)


def test_a_batch_of_which_everything_was_dropped_is_not_sent_again() -> None:
    """The server counts at least so many."""
    server = Server(lambda _: Answer(422, "partial write: field type conflict dropped=8"))
    delivery = server.deliver(LINES)
    assert ([rejected.line for rejected in delivery.rejected], len(server.sent)) == (LINES, 1)


def test_conflicts_of_types_are_found_by_measurement_and_day() -> None:
    """All lines of one measurement and shard conflict together: three requests, not one for each line."""
    conflicting = [_line(i, "other") for i in range(100)]

    def answer(lines: Sequence[Line]) -> Answer | None:
        dropped = len(_texts(lines) & _texts(conflicting))
        return Answer(422, f"partial write: field type conflict: … dropped={dropped}") if dropped else None

    server = Server(answer)
    delivery = server.deliver([*LINES, *conflicting])
    assert _texts([rejected.line for rejected in delivery.rejected]) == _texts(conflicting)
    assert (server.stored, len(server.sent)) == (_texts(LINES), 3)


def test_a_body_that_is_too_long_is_halved() -> None:
    """Until it fits; a single line that does not is rejected."""
    server = Server(lambda lines: Answer(413, "too large") if len(lines) > 2 or LINES[3] in lines else None)
    delivery = server.deliver(LINES)
    assert [rejected.line for rejected in delivery.rejected] == [LINES[3]]
    assert server.stored == _texts(LINES) - {LINES[3].text}


def test_a_poison_line_is_found_while_the_server_stores_others() -> None:
    """Its neighbours are stored; it takes seconds, not minutes."""
    lines = [_line(i) for i in range(5000)]
    server = Server(_with([lines[1234], lines[4321]], Answer(500, "internal error")))
    delivery = server.deliver(lines)
    assert [rejected.line for rejected in delivery.rejected] == [lines[1234], lines[4321]]
    assert delivery.rejected[0].reason == "the server fails on it (500) while it stores others: internal error"
    assert server.stored - {WITNESS.text} == _texts(lines) - _texts([lines[1234], lines[4321]])
    assert sum(server.waits) < 10


def test_an_outage_that_looks_like_poison_costs_no_line() -> None:
    """Where the server fails on everything, nothing is to blame: here for 300 answers of 500, with one line or with many."""
    for lines in (LINES, LINES[:1]):
        server = Server(_first(*[Answer(500, "disk full")] * 300))
        assert server.deliver(lines).rejected == []
        assert _texts(lines) <= server.stored


def test_a_single_failure_after_an_outage_blames_nobody() -> None:
    """A line is to blame only when the server has stored another one between its failures, three times."""
    server = Server(_first(*[Answer(500, "x")] * 3, STORED, Answer(500, "x"), STORED))
    assert server.deliver(LINES[:1]).rejected == []
    assert LINES[0].text in server.stored


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (Answer(401, "unauthorized access"), "the token is not known there"),
        (Answer(403, "forbidden"), "the token may not write there"),
        (Answer(404, 'bucket "x" not found'), "`routecast influx init` makes them"),
        (Answer(400, "Please provide either orgID or org"), "check influx.organisation"),
        (Answer(301, "moved"), "check that influx.url is the address of an InfluxDB 2"),
        (Answer(200, "<html>"), "check that influx.url is the address of an InfluxDB 2"),
    ],
)
def test_what_somebody_has_to_mend_stops_it_with_a_sentence(answer: Answer, advice: str) -> None:
    """Waiting would not help, and nothing is given up."""
    with pytest.raises(Unreachable, match=advice):
        Server(lambda _: answer).deliver(LINES)


@given(
    count=st.integers(1, 200),
    poison=st.sets(st.integers(0, 199)),
    unreadable=st.sets(st.integers(0, 199)),
    conflicting=st.sets(st.integers(0, 199)),
    failures=st.lists(st.sampled_from([Answer(0), AWAY, Answer(429, "", "1"), Answer(500, "blip"), Answer(413, "long")]), max_size=8),
)
def test_every_line_is_stored_or_rejected_whatever_is_answered(
    count: int, poison: set[int], unreadable: set[int], conflicting: set[int], failures: list[Answer]
) -> None:
    """Good lines are stored, bad ones are rejected, each exactly once, in any mixture with failures."""
    lines = [_line(i, f"m{i % 3}", age_ms=i * 3_600_000.0) for i in range(count)]
    by_number = dict(enumerate(lines))
    bad = [[by_number[i] for i in sorted(numbers) if i < count] for numbers in (poison, unreadable, conflicting)]

    def quote(sent: Sequence[Line]) -> Answer | None:
        found = [line.text.decode() for line in sent if line in bad[1]]
        return Answer(400, "\n".join(f"unable to parse '{text}': bad" for text in found)) if found else None

    def drop(sent: Sequence[Line]) -> Answer | None:
        found = [line for line in sent if line in bad[2]]
        server.stored |= _texts(sent) - _texts(found)
        return Answer(422, "partial write: dropped=1") if found else None

    one_line = lambda sent: None if len(sent) > 1 else STORED if sent[0] not in bad[0] + bad[1] + bad[2] else None  # noqa: E731 - keeps 413 off good single lines
    server = Server(_with(bad[0], Answer(500, "poison")), quote, drop, one_line, _first(*failures))
    delivery = server.deliver(lines, steps=20_000)
    assert delivery.step() is None
    wrong = _texts(bad[0] + bad[1] + bad[2])
    rejected = [rejected.line.text for rejected in delivery.rejected]
    assert sorted(rejected) == sorted(wrong)
    assert _texts(lines) - wrong <= server.stored


def test_a_long_answer_is_read_quickly() -> None:
    """Five thousand quoted lines; each is found once."""
    lines = [_line(i) for i in range(5000)]
    message = "\n".join(f"unable to parse '{line.text.decode()}': invalid" for line in lines)
    assert quoted(message, lines) == {line.text: "invalid" for line in lines}


def test_parts_keep_everything_and_its_order() -> None:
    """Of two lines of one series and time, the later one must stay the later one."""
    lines = [_line(i, f"m{i % 2}") for i in range(10)]
    by_measurement = parts(lines)
    assert [[line.measurement for line in part] for part in by_measurement] == [["m0"] * 5, ["m1"] * 5]
    assert [line for part in parts(LINES) for line in part] == LINES
