from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from routecast.dashboards.terminal.player import Film, Player, unheard
from routecast.dashboards.terminal.recorded import film_of
from routecast.dashboards.terminal.source import Frame
from routecast.models.config import Config
from routecast.models.errors import CheckFailed, RoutecastError
from routecast.models.events import Control
from routecast.streams.clock import FixedClock, SystemClock
from routecast.streams.memory import MemoryReader
from routecast.streams.recordings.recorder import Recorder
from routecast.streams.recordings.recording import RecordingWriter

Run = Callable[[Any], Any]
Story = Any
CONFIG = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})


def _frames() -> Generator[Frame]:
    yield from (Frame(1000.0 * second, ()) for second in range(11))


FILM = Film("ten seconds", CONFIG, _frames, 0.0, 10_000.0, unheard)


async def _next(frames: AsyncGenerator[Frame], n: int) -> list[float]:
    return [(await anext(frames)).at_ms for _ in range(n)]


def test_frames_come_when_it_is_their_time(run: Run) -> None:
    """The first at once; the others not before their time on the clock has come, at the speed that is asked for."""

    async def play() -> None:
        clock = FixedClock(0.0)
        player = Player(FILM, clock, speed=2.0)
        async with aclosing(player.frames()) as frames:
            assert await _next(frames, 1) == [0.0]
            clock.at_ms = 400.0
            coming = asyncio.ensure_future(anext(frames))
            await asyncio.wait({coming}, timeout=0.02)
            assert (coming.done(), player.now_ms(), player.position) == (False, 800.0, "×2 00:01 of 00:10")
            clock.at_ms = 500.0
            player.faster(0)
            assert (await coming).at_ms == 1000.0

    run(play())


def test_a_player_pauses_steps_and_seeks_both_ways(run: Run) -> None:
    """Stepping moves a paused film by one frame; seeking back begins anew and says so, seeking forwards leaves nothing out."""

    async def play() -> None:
        player = Player(FILM, FixedClock(0.0))
        async with aclosing(player.frames()) as frames:
            await _next(frames, 1)
            player.pause()
            player.step()
            assert (await _next(frames, 1), player.position) == ([1000.0], "paused 00:01 of 00:10")
            player.seek(4000.0)
            assert (await _next(frames, 4), player.now_ms()) == ([2000.0, 3000.0, 4000.0, 5000.0], 5000.0)
            player.seek(-3000.0)
            again = [await anext(frames) for _ in range(3)]
            assert [(frame.at_ms, frame.fresh) for frame in again] == [(0.0, True), (1000.0, False), (2000.0, False)]
            player.seek(20_000.0)
            assert (await _next(frames, 8))[-1] == 10_000.0
            coming = asyncio.ensure_future(anext(frames))
            await asyncio.wait({coming}, timeout=0.02)
            assert (coming.done(), player.position) == (False, "ended 00:10 of 00:10")
            player.seek(-10_000.0)
            assert (await coming).fresh

    run(play())


def test_a_film_that_breaks_off_says_why_and_can_be_seen_again(run: Run) -> None:
    """A damaged recording is a trouble on the screen, not the end of the program."""

    def broken() -> Generator[Frame]:
        yield Frame(0.0, ())
        raise CheckFailed("part 7 is damaged")

    async def play() -> None:
        player = Player(FILM._replace(open=broken), FixedClock(0.0))
        async with aclosing(player.frames()) as frames:
            assert [(await anext(frames)).trouble for _ in range(2)] == ["", "part 7 is damaged"]
            player.seek(-1000.0)
            assert (await anext(frames)).fresh

    run(play())


def test_a_recording_shows_what_was_published_byte_for_byte(story: Story, tmp_path: Path, run: Run) -> None:
    """From the events alone: snapshots, details and insights as routers and operators saw them, up to where the recording ends."""
    file = tmp_path / "story.routecast"
    with RecordingWriter(file, "test.") as out:
        recorder = Recorder(MemoryReader(story.log), out, "beginning")
        run(recorder.begin())
        run(recorder.copy())
    film = film_of(file)
    heard_of = [heard for frame in film.open() for heard in frame.records]
    for topic in ("scores", "details", "insights"):
        shown = [heard.record.value for heard in heard_of if heard.topic == topic]
        published = [record.value for record in story.log.read(topic, 0, 0, limit=1_000_000)]
        assert len(shown) > 10 or topic == "insights"
        assert shown == published[: len(shown)]
        assert len(published) - len(shown) <= 1
    assert film.config.targets_of("chat")[0].id == "a"
    with pytest.raises(RoutecastError, match="this is a recording, what is over cannot be changed"):
        run(Player(film, SystemClock()).say(Control(at_ms=0.0, target="a", action="drain")))
