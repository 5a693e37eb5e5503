"""`routecast top`: who is bad, since when, and what is done about it; live, from a recording, or of the demonstration."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from routecast.cli.kafka import READ_S, File, Json, Url, ask, configured, quiet
from routecast.cli.render import complain, console, show_json

if TYPE_CHECKING:
    from routecast.dashboards.terminal.board import Board
    from routecast.dashboards.terminal.player import Film

USAGE = 2
_PIPE_WIDTH = 160
DEMO_SPEED = 4.0


def top(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="What `routecast record` wrote; without it, what runs now.")] = None,
    *,
    demo: Annotated[bool, typer.Option("--demo", help="The demonstration's fleet, made on this machine; nothing else is needed.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Print it once and end: a table; with --json everything as JSON.")] = False,
    speed: Annotated[float | None, typer.Option(min=0.1, max=1000, help="Of a recording (1) or the demonstration (4): seconds in a second.")] = None,
    at: Annotated[
        float | None,
        typer.Option(min=0, help="Begin so many seconds after the beginning; with --once, the moment: by default the end of FILE, the outage of --demo."),
    ] = None,
    window: Annotated[Literal["10s", "1m", "5m", "1h", "24h"], typer.Option(help="Of the figures, with --once.")] = "1m",
    config: File = None,
    kafka: Url = None,
    json: Json = False,
) -> None:
    """Watch the fleet: targets with state, figures and shares, what happened, why; drain and resume from there. `?` shows the keys."""
    if sum((file is not None, demo, kafka is not None)) > 1:
        _misused("FILE, --demo and --kafka: give one of them")
    if json and not once:
        _misused("--json: together with --once")
    if file is None and not demo and (speed or at is not None):
        _misused("--speed and --at: of a recording or the demonstration")
    if not once and not (sys.stdin.isatty() and sys.stdout.isatty()):
        _misused("this needs a terminal; --once prints what it would show, --once --json as JSON")
    film = _film(file, config, demo=demo)
    if once:
        if demo and at is None:
            at = _outage()
        board = _at(film, at, window) if film else _now(config, kafka, window)
        _print(board, film.place(board.at_ms) if film else "", json=json)
    else:
        _run(film, config, kafka, speed, (at or 0.0) * 1000.0)


def _misused(text: str) -> None:
    complain(text)
    raise typer.Exit(USAGE)


def _film(file: Path | None, config: Path | None, *, demo: bool) -> Film | None:
    if demo:
        from routecast.demo.film import demo_film  # noqa: PLC0415 - numpy and the pipeline are slow to import

        return demo_film()
    if file is None:
        return None
    from routecast.dashboards.terminal.recorded import film_of  # noqa: PLC0415
    from routecast.streams.configuration import load_config  # noqa: PLC0415

    return film_of(file, load_config(config, os.environ) if config is not None else None)


def _outage() -> float:
    from routecast.demo.film import MOMENT, MOMENT_S  # noqa: PLC0415 - with the film

    complain(f"second {MOMENT_S:.0f} of the demonstration, {MOMENT}; --at SECONDS shows another moment")
    return MOMENT_S


def _now(config: Path | None, kafka: str | None, window: Literal["10s", "1m", "5m", "1h", "24h"]) -> Board:
    from routecast.dashboards.terminal.journal import Journal  # noqa: PLC0415 - slow to import
    from routecast.dashboards.terminal.live import history  # noqa: PLC0415
    from routecast.dashboards.terminal.picture import Picture  # noqa: PLC0415
    from routecast.streams.clock import SystemClock  # noqa: PLC0415

    loaded, clock = configured(config, kafka), SystemClock()
    journal = Journal(loaded)
    for topic, record in ask(loaded.kafka, history(loaded, clock.now_ms()), within_s=READ_S):
        journal.take(topic, record)
    return Picture(journal, loaded, f"kafka://{loaded.kafka.bootstrap}").board(clock.now_ms(), window=window)


def _at(film: Film, at_s: float | None, window: Literal["10s", "1m", "5m", "1h", "24h"]) -> Board:
    from routecast.dashboards.terminal.journal import Journal  # noqa: PLC0415 - slow to import
    from routecast.dashboards.terminal.picture import Picture  # noqa: PLC0415

    journal, reached_ms, frames = Journal(film.config), film.first_ms, film.open()
    for frame in frames:
        if at_s is not None and frame.at_ms > film.first_ms + at_s * 1000.0:
            break
        reached_ms = frame.at_ms
        for topic, record in frame.records:
            journal.take(topic, record)
    frames.close()
    return Picture(journal, film.config, film.name).board(reached_ms, window=window)


def _print(board: Board, place: str, *, json: bool) -> None:
    if json:
        show_json(board)
        return
    from routecast.dashboards.terminal.text import lines  # noqa: PLC0415 - rich is slow to import

    out = console()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_WIDTH
    for line in lines(board, width, place):
        out.print(line)


def _run(film: Film | None, config: Path | None, kafka: str | None, speed: float | None, from_ms: float) -> None:
    from routecast.models.errors import ConfigError  # noqa: PLC0415 - pydantic is slow to import

    if find_spec("textual") is None:
        raise ConfigError("this needs textual, which is not installed: pip install 'routecast[dashboards]'; --once does without it")
    from routecast.dashboards.terminal.app import Top  # noqa: PLC0415 - textual is slow to import, and an extra
    from routecast.dashboards.terminal.live import Live  # noqa: PLC0415
    from routecast.dashboards.terminal.player import Player  # noqa: PLC0415
    from routecast.streams.clock import SystemClock  # noqa: PLC0415

    clock = SystemClock()
    if film is not None:
        usual = 1.0 if film.name != "demonstration" else DEMO_SPEED
        Top(Player(film, clock, speed=speed or usual, from_ms=from_ms), _who()).run()
    else:
        quiet()
        Top(Live(configured(config, kafka), clock), _who()).run()


def _who() -> str:
    """Who says what is said here."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
