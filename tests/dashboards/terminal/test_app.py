from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from routecast.dashboards.terminal.app import Top
from routecast.dashboards.terminal.keys import KEYS
from routecast.dashboards.terminal.live import Live
from routecast.dashboards.terminal.player import Player
from routecast.dashboards.terminal.screens import HelpScreen, PageScreen, QuestionScreen
from routecast.dashboards.terminal.source import Frame
from routecast.models.config import Config, Kafka
from routecast.models.errors import RoutecastError
from routecast.models.events import Control
from routecast.models.snapshot import decode_snapshot
from routecast.servers.kafka import LocalBroker, free_port
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.clock import FixedClock, SystemClock
from routecast.streams.leadership.leading import producer
from routecast.streams.operators.published import newest

Run = Callable[[Any], Any]
Story = Any


class Given:
    """A source that delivers what it is given, and keeps what it is told."""

    name = "a test"

    def __init__(self, story: Story, second: float, *troubles: str) -> None:
        self.config: Config = story.film.config
        self._frames = [frame for frame in story.frames if frame.at_ms <= story.frames[0].at_ms + second * 1000.0]
        self._at_ms: float = story.frames[0].at_ms + second * 1000.0
        self._troubles = troubles
        self.told: list[Control] = []
        self.answer: str | RoutecastError = "b is drained in snapshot 1/99"
        self.go_on = asyncio.Event()

    def now_ms(self) -> float:
        """When the story is looked at."""
        return self._at_ms

    async def frames(self) -> AsyncGenerator[Frame]:
        """Troubles first, then the story."""
        for trouble in self._troubles:
            yield Frame(self._at_ms, (), trouble)
            await self.go_on.wait()
        for frame in self._frames:
            yield frame
        await asyncio.Event().wait()

    async def say(self, word: Control) -> str:
        """Keep it."""
        self.told.append(word)
        if isinstance(self.answer, RoutecastError):
            raise self.answer
        return self.answer


async def _until(app: Top, pilot: Pilot[None], true: Callable[[], object]) -> None:
    try:
        async with asyncio.timeout(30):
            while not true():
                app.draw()
                await pilot.pause()
    except TimeoutError:
        raise AssertionError(_shown(app)) from None


def _shown(app: Top) -> str:
    """Everything on the screen, as text."""
    width, height = app.size
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip)[:width] for strip in lines[:height])


async def _filled(app: Top, pilot: Pilot[None]) -> None:
    await _until(app, pilot, lambda: app.board and app.board.targets and app.board.targets[0].id == "b")


def test_the_screen_says_who_is_bad_in_every_size(story: Story, run: Run) -> None:
    """At 80 × 24 and after resizing: the sentence, the table with its worst target first, the events, the keys."""

    async def look() -> None:
        app = Top(Given(story, 75), "ada@ops")
        async with app.run_test(size=(80, 24)) as pilot:
            await _filled(app, pilot)
            for size in ((80, 24), (200, 60), (40, 12), (80, 24)):
                await pilot.resize_terminal(*size)
                await pilot.pause()
                assert "b is open since" in _shown(app)
            text = _shown(app)
            assert "✖ open" in text
            assert text.index("✖ open") < text.index("● ok")
            assert "b recovering open → recovering" in text
            assert "⏎ details" in text

    run(look())


def test_every_key_does_what_the_help_says(story: Story, run: Run) -> None:
    """Moving, sorting, filtering, windows, events, colours, pause, page, help, quit; each key of the list is bound."""

    async def press() -> None:
        app = Top(Given(story, 75), "ada@ops")
        async with app.run_test(size=(120, 30)) as pilot:
            await _filled(app, pilot)
            table = app._table
            for keys, expected in (("down", "a"), ("k", "b"), ("end", "c"), ("home", "b"), ("pagedown", "c"), ("g", "b")):
                await pilot.press(keys)
                assert table.target == expected
            await pilot.press("left")
            assert (table.sort, [row.id for row in table.rows]) == ("target", ["a", "b", "c"])
            await pilot.press("i")
            assert [row.id for row in table.rows] == ["c", "b", "a"]
            await pilot.press("right", "i", "slash", *"p-c")
            assert [row.id for row in table.rows] == ["c"]
            await pilot.press("enter", "escape")
            assert len(table.rows) == 3
            await pilot.press("w")
            assert app.board is not None
            assert app.board.window == "5m"
            await pilot.press("e", "t")
            assert (app.query_one("#events", Static).has_class("more"), app.theme) == (True, "textual-dark")
            await pilot.press("space")
            assert "paused" in _shown(app)
            await pilot.press("space", "enter")
            assert isinstance(app.screen, PageScreen)
            assert "Why it gets this share" in _shown(app)
            await pilot.press("escape", "question_mark")
            assert isinstance(app.screen, HelpScreen)
            await pilot.press("escape", "q")
        assert app.return_code == 0

    run(press())
    app = Top(Given(story, 75), "ada@ops")
    bound = {binding.key for bindings in app._bindings.key_to_bindings.values() for binding in bindings}
    assert {name for key in KEYS for name in key.keys.split(",") if name} <= bound


def test_a_target_is_drained_after_a_question_and_with_a_name(story: Story, run: Run) -> None:
    """No is no; yes says who; what became of it is told, also when nobody heard it."""

    async def drain() -> None:
        source = Given(story, 75)
        app = Top(source, "ada@ops")
        async with app.run_test(size=(100, 30), notifications=True) as pilot:
            await _filled(app, pilot)
            await pilot.press("d")
            assert isinstance(app.screen, QuestionScreen)
            assert "Take b out of service, as ada@ops?" in _shown(app)
            await pilot.press("n")
            assert source.told == []
            await pilot.press("down", "d", "y")
            await _until(app, pilot, lambda: "b is drained in snapshot 1/99" in _shown(app))
            source.answer = RoutecastError("no worker leads")
            await pilot.press("r", "y")
            await _until(app, pilot, lambda: "no worker leads" in _shown(app))
            assert [(word.action, word.target, word.emitter) for word in source.told] == [("drain", "a", "ada@ops"), ("resume", "a", "ada@ops")]

    run(drain())


def test_troubles_are_said_and_recovered_from(story: Story, run: Run) -> None:
    """Brokers that are away stand where the sentence was, until records come again."""

    async def wait() -> None:
        source = Given(story, 75, "Kafka at 'nowhere' cannot be reached; trying again")
        app = Top(source, "ada@ops")
        async with app.run_test(size=(80, 24)) as pilot:
            await _until(app, pilot, lambda: "Kafka at 'nowhere' cannot be reached" in _shown(app))
            source.go_on.set()
            await _filled(app, pilot)
            assert "b is open since" in _shown(app)

    run(wait())


@pytest.mark.parametrize("theme", ["ansi-dark", "textual-light"])
def test_without_colours_everything_is_still_told_apart(story: Story, run: Run, theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR leaves symbols and words; no cell has a colour."""
    monkeypatch.setenv("NO_COLOR", "1")

    async def look() -> None:
        app = Top(Given(story, 75), "ada@ops")
        async with app.run_test(size=(80, 24)) as pilot:
            app.theme = theme
            await _filled(app, pilot)
            assert app.no_color
            assert "✖ open" in _shown(app)
            coloured = [
                segment for strip in app.screen._compositor.render_strips() for segment in strip.apply_filter(app._filters[-1], app.screen.background_colors[1])
            ]
            colours = {(segment.style.color, segment.style.bgcolor) for segment in coloured if segment.style}
            assert all(c is None or c.triplet is None or len(set(c.triplet)) == 1 for pair in colours for c in pair)

    run(look())


def test_a_film_is_played_from_the_screen(story: Story, run: Run) -> None:
    """Step, speed, seeking and pause are shown where the age of the snapshot stands otherwise."""

    async def play() -> None:
        player = Player(story.film, FixedClock(0.0))
        app = Top(player, "ada@ops")
        async with app.run_test(size=(100, 30)) as pilot:
            await _until(app, pilot, lambda: "×1 00:00 of 01:5" in _shown(app) or "×1 00:00 of 02:0" in _shown(app))
            await pilot.press("space", "plus", "right_square_bracket", "right_square_bracket", "right_square_bracket")
            assert player.speed == 2.0
            await _until(app, pilot, lambda: "paused 01:3" in _shown(app))
            await _filled(app, pilot)
            at_ms = player.now_ms()
            await pilot.press("full_stop")
            await _until(app, pilot, lambda: player.now_ms() > at_ms)
            await pilot.press("minus", "left_square_bracket")
            await _until(app, pilot, lambda: "paused 01:0" in _shown(app))

    run(play())


def test_the_fleet_on_kafka_is_shown_and_a_drain_takes_effect(config_file: Path, config: Config, start_worker: Callable[..., Any], run: Run) -> None:
    """From brokers that are not there, over topics without a snapshot, to a drain that the published snapshot shows and the event log names."""

    async def away() -> None:
        gone = config.model_copy(update={"kafka": config.kafka.model_copy(update={"bootstrap": f"127.0.0.1:{free_port()}"})})
        app = Top(Live(gone, SystemClock()), "ada@ops")
        async with app.run_test(size=(100, 24)) as pilot:
            await _until(app, pilot, lambda: "nothing listens there; check that Kafka is running" in " ".join(_shown(app).split()))

    async def drain() -> None:
        await create_topics(config.kafka)
        app = Top(Live(config, SystemClock()), "ada@ops")
        async with app.run_test(size=(120, 30), notifications=True) as pilot:
            await _until(app, pilot, lambda: "no snapshot was ever published" in _shown(app))
            worker = await asyncio.to_thread(start_worker, config_file)
            await _until(app, pilot, lambda: app.board and len(app.board.targets) == 3 and app.board.leader)
            await pilot.press("slash", *"p-b", "enter", "d", "y")
            await _until(app, pilot, lambda: "b is drained in snapshot" in _shown(app))
            await _until(app, pilot, lambda: "taken out of service by ada@ops" in _shown(app) and "○ drained" in _shown(app))
            await asyncio.to_thread(worker.stop)
            await _until(app, pilot, lambda: "nobody publishes: the snapshot" in _shown(app))

    run(away())
    run(drain())
    states = {target.id: target.state for target in run(newest(config)).snapshots["chat"].targets}
    assert states["b"] == "drained"


def test_brokers_that_go_away_and_come_back(broker_tools: None, config: Config, tmp_path: Path, story: Story, run: Run) -> None:
    """While they are away the screen says how old its figures are; it goes on by itself where it was."""
    del broker_tools
    snapshots = [heard.record.value for frame in story.frames for heard in frame.records if heard.topic == "scores"]

    async def publish(settings: Kafka, *values: bytes) -> None:
        async with producer(config.model_copy(update={"kafka": settings})) as out:
            for value in values:
                await out.send_and_wait(topic_name(settings, "scores"), value, key=b"chat", partition=0)

    async def watch(broker: LocalBroker) -> None:
        settings = config.kafka.model_copy(update={"bootstrap": broker.bootstrap})
        await create_topics(settings)
        await publish(settings, *snapshots[:30])
        clock = FixedClock(decode_snapshot(snapshots[29]).at_ms)
        app = Top(Live(config.model_copy(update={"kafka": settings}), clock), "ada@ops")
        async with app.run_test(size=(120, 24)) as pilot:
            await _until(app, pilot, lambda: "all 3 targets are well" in _shown(app))
            await asyncio.to_thread(broker.kill)
            clock.at_ms += 30_000.0
            old = re.compile(r"nothing listens there; .*; trying again; what is shown is of 22:1\d:\d\d, 30 s old")
            await _until(app, pilot, lambda: old.search(" ".join(_shown(app).split())))
            await asyncio.to_thread(broker.start)
            clock.at_ms = decode_snapshot(snapshots[69]).at_ms
            await publish(settings, *snapshots[30:70])
            await _until(app, pilot, lambda: "b is open since" in _shown(app))

    with LocalBroker(tmp_path / "broker") as broker:
        run(watch(broker))
