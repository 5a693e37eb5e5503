"""How long the command line takes to say anything, beside a Typer program without commands of its own, in one run."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

import core

RUNS = 15
_EMPTY = """
import typer
app = typer.Typer(name="empty", rich_markup_mode=None, pretty_exceptions_enable=False)
app.command("a")(lambda: None)
app.command("b")(lambda: None)
app(["--help"])
"""
_PAGES = ((), ("topics", "create"), ("doctor",), ("demo",))


def rows() -> list[core.Row]:
    """The first page of help, and those of some commands."""
    ours = [(" ".join(["routecast", *page, "--help"]), ["-m", "routecast.cli", *page, "--help"]) for page in _PAGES]
    programs = [("python -c pass", ["-c", "pass"]), ("an empty Typer program --help", ["-c", _EMPTY]), *ours]
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name, _ in programs}
    for _ in range(RUNS):  # in turn, so that what else the machine does hits all alike
        for name, arguments in programs:
            measured[name].append(_run(arguments))
    return [_row(name, took) for name, took in measured.items()]


def _row(name: str, took: list[tuple[float, float]]) -> core.Row:
    wall_s, cpu_s = (statistics.median(column) for column in zip(*took, strict=True))
    return core.Row(name, f"{wall_s * 1000:.0f} ms, {cpu_s * 1000:.0f} ms of CPU", _aim(name))


def _aim(name: str) -> str:
    return "≤ 300 ms" if name.startswith("routecast") else ""


def _run(arguments: list[str]) -> tuple[float, float]:
    """Wall time and CPU time, s."""
    before, began = _cpu_s(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, _cpu_s() - before


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
