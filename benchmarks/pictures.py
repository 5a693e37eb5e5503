"""The pictures of the documentation, computed by the product's own code: `make pictures` draws them again, tests compare them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from alert_months import BAD, START_MS, Trouble, config, looks
from charts import Panel, drawn
from study_trend import WINDOWS, series

from routecast.analytics.alerts.alerts import Alerts
from routecast.analytics.capacity.attempts import AttemptLog
from routecast.analytics.capacity.capacity import capacity_of, evidence_of
from routecast.analytics.capacity.replayed import replay
from routecast.analytics.changes.change_detector import ChangeDetector
from routecast.analytics.changes.trend import fit
from routecast.analytics.simulation.servers import Queueing
from routecast.analytics.simulation.simulator import EventQueue
from routecast.models.config import Config
from routecast.models.events import Completed
from routecast.models.insights import Alert, Change
from routecast.streams.calls.call import Call
from routecast.testing import Fleet

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
_HOUR_MS, _MINUTE_MS = 3_600_000, 60_000
SPREAD = 0.6
"""Of the logarithm of the time of answers."""


def changes() -> str:
    """Answers that take twice as long from one moment on, and the evidence for it."""
    rng = np.random.default_rng(9)
    latency_ms = np.exp(np.log(800.0) + SPREAD * rng.standard_normal(900))
    latency_ms[500:] *= 2.0
    detector, doubts, found = ChangeDetector(), [], []
    for number, ms in enumerate(latency_ms.tolist()):
        detector.update(math.log(ms))
        doubts.append((float(number), 1.0 if detector.detected else detector.doubt))
        if detector.detected and detector.shift is not None:
            found.append((number, detector.shift))
    x_ticks = [(float(n), f"{n}") for n in range(0, 901, 100)]
    times = Panel(
        "Time of each answer, ms", (0.0, 900.0), (60.0, 20_000.0), height=170, log=True, x_ticks=x_ticks,
        y_ticks=[(ms, f"{ms:g}") for ms in (100.0, 300.0, 1000.0, 3000.0, 10_000.0)],
    )  # fmt: skip
    times.dots([(float(n), ms) for n, ms in enumerate(latency_ms.tolist())])
    evidence = Panel("Evidence ÷ what it must exceed", (0.0, 900.0), (0.0, 1.1), height=90, x_ticks=x_ticks, y_ticks=[(0.0, "0"), (0.5, "0.5"), (1.0, "1")])
    evidence.line(doubts, "d")
    for number, shift in found:
        times.line([(0.0, math.exp(shift.before)), (shift.began, math.exp(shift.before))], "c", width=2.4)
        times.line([(shift.began, math.exp(shift.after)), (900.0, math.exp(shift.after))], "b", width=2.4)
        for panel in (times, evidence):
            panel.mark(float(number))
        said = f"found at {number}: since {shift.began}, {math.exp(shift.before):,.0f} → {math.exp(shift.after):,.0f} ms"
        times.words(float(number) + 6.0, 13_000.0, said, colour="b")
    return drawn("Answers become twice as slow at number 500; the evidence passes its bound soon after", [times, evidence])


def trends() -> str:
    """Three hours of a metric: one that rises, one that wanders, one that falls, all with noise that hangs together."""
    values = np.hstack([series(np.random.default_rng(seed), 1, drift, 0.08, 0.4) for seed, drift in ((1, math.log(1.3)), (8, 0.0), (3, -math.log(1.3)))])
    found = fit(values, np.ones_like(values))
    words = {1: "rising", -1: "falling", 0: "stable", 2: "unknown"}
    panels: list[Panel] = []
    for number, title in enumerate(("drifts up by 30 %", "wanders", "drifts down by 30 %")):
        ratio = np.exp(values[:, number])
        panel = Panel(
            f"A metric that {title}: {words[int(found.direction[number])]}, confidence {1.0 - found.p[number]:.1%}", (0.0, 59.0), (0.6, 1.7), height=84,
            x_ticks=[(float(n), f"{n} min") for n in range(0, 60, 10)], y_ticks=[(0.7, "0.7"), (1.0, "1"), (1.5, "1.5")],
        )  # fmt: skip
        panel.line([(float(n), v) for n, v in enumerate(ratio.tolist())], "a", width=1.2)
        colour = {1: "b", -1: "c"}.get(int(found.direction[number]), "d")
        panel.line([(0.0, math.exp(found.first[number])), (WINDOWS - 1.0, math.exp(found.last[number]))], colour, width=2.4)
        panels.append(panel)
    return drawn("Three series of sixty minutes with the direction that is found in each", panels)


def alerts() -> str:
    """Half a day with blips and an outage of 54 minutes: what is counted, and what is said."""
    outage_ms = START_MS + 9 * _HOUR_MS
    blips = [Trouble("blip", START_MS + round(h * _HOUR_MS), START_MS + round(h * _HOUR_MS) + 30_000, 0.9) for h in (6.4, 7.3, 8.1, 11.2)]
    happening = [Trouble("outage", outage_ms, outage_ms + 54 * _MINUTE_MS, 1.0), *blips]
    engine, said = Alerts(config()), list[Alert]()
    ended, failed = np.zeros(12 * 60), np.zeros(12 * 60)
    for look in looks(3, happening, days=1, breaker=False):
        period = look.period
        minute = (int(period.start_ms) - START_MS) // _MINUTE_MS
        if minute >= len(ended):
            break
        said += engine.check(period, look.states)
        ended[minute] += period.ok[1 + BAD] + period.failed[1 + BAD]
        failed[minute] += period.failed[1 + BAD]
    hours = (6.0, 12.0)
    x_ticks = [(h, f"{h:.0f}:00") for h in np.arange(6.0, 12.1).tolist()]
    ratio = Panel("Failures of a target, each minute", hours, (0.0, 1.0), height=110, x_ticks=x_ticks, y_ticks=[(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")])
    ratio.line([(m / 60.0, failed[m] / max(1.0, ended[m])) for m in range(6 * 60, 12 * 60)], "b", width=1.2)
    return drawn("Blips raise nothing that wakes; an outage wakes once, and its end is told", [ratio, _spans(said, hours, x_ticks)])


def _spans(said: list[Alert], hours: tuple[float, float], x_ticks: list[tuple[float, str]]) -> Panel:
    """A row for each alert: its severities over time, a mark where somebody is told."""
    rows = list(dict.fromkeys(alert.id for alert in said))
    panel = Panel("Alerts; the marks are notifications", hours, (0.0, float(len(rows))), height=30 * len(rows), x_ticks=x_ticks)
    for row, name in enumerate(reversed(rows)):
        mine = [alert for alert in said if alert.id == name]
        for before, after in pairwise([*_turns(mine), mine[-1].model_copy(update={"at_ms": START_MS + hours[1] * _HOUR_MS})]):
            if before.state != "cleared":
                colour = {"critical": "b", "high": "b", "medium": "d", "low": "a"}[before.severity]
                opacity = 0.18 if before.inhibited_by else 0.75 if before.severity == "critical" else 0.5
                panel.span(_hour(before.at_ms), _hour(after.at_ms), colour, low=row + 0.25, high=row + 0.75, opacity=opacity)
        panel.dots([(_hour(alert.at_ms), row + 0.5) for alert in mine if alert.notify], "ink", radius=4.5, opacity=1.0)
        first = mine[0]
        severities = " → ".join(dict.fromkeys(alert.severity for alert in mine))
        note = ", explained by the other" if mine[-1].inhibited_by or any(alert.inhibited_by for alert in mine) else ""
        late = _hour(mine[-1].at_ms) > sum(hours) / 2.0
        place, kind = (_hour(first.started_ms) - 0.08, "end") if late else (_hour(mine[-1].at_ms) + 0.08, "")
        panel.words(place, row + 0.42, f"{first.kind} of {first.subject.id}: {severities}{note}", kind=kind)
    return panel


def _turns(said: list[Alert]) -> list[Alert]:
    """Without what only repeats."""
    return [said[0], *(after for before, after in pairwise(said) if (before.severity, before.state == "cleared") != (after.severity, after.state == "cleared"))]


def _hour(at_ms: float) -> float:
    return (at_ms - START_MS) / _HOUR_MS


def capacity() -> str:
    """What the requests of a service would wait at other loads, by events at one load; the truth beside it."""
    configured = {"target": [{"id": name, "provider": "p", "model": "m", "service": "chat"} for name in "ab"]}
    log = AttemptLog({"a": "chat", "b": "chat"})
    for event in _served(4000, 1100.0):
        log.add(event)
    attempts, targets = log.attempts("chat"), {target.id: target for target in Config.model_validate(configured).target}
    evidence = evidence_of(attempts, targets, requests=4000)
    if isinstance(evidence, str):
        raise TypeError(evidence)
    estimate = capacity_of(attempts, service="chat", at_ms=0.0, limit_ms=500.0, configs=targets, requests=4000)
    loads = [0.5 + 0.1 * n for n in range(25)]
    expected = [(load * estimate.now_per_min, max(1.0, replay(evidence.fits, evidence.arrivals, load).wait_quantile_ms(0.95))) for load in loads]
    now, most = estimate.now_per_min, 2.9 * estimate.now_per_min
    panel = Panel(
        "95 % of the requests wait less than, ms", (0.4 * now, most), (1.0, 20_000.0), height=210, log=True,
        x_ticks=[(float(n), f"{n}/min") for n in range(50, int(most), 50)], y_ticks=[(ms, f"{ms:,.0f}") for ms in (1.0, 10.0, 100.0, 500.0, 1000.0, 10_000.0)],
    )  # fmt: skip
    panel.line([point for point in expected if point[1] < 20_000.0], "a", width=2.4)
    panel.line([(0.4 * now, 500.0), (most, 500.0)], "dim", width=1.2, dashed=True)
    sustainable, low, high = (value or now for value in (estimate.sustainable_per_min, estimate.low_per_min, estimate.high_per_min))
    panel.span(low, high, "c", opacity=0.2)
    panel.mark(sustainable, "c")
    panel.mark(now, "dim")
    panel.words(now - 2.0, 9000.0, f"load now: {now:,.0f}/min", kind="end", colour="dim")
    panel.words(sustainable + 3.0, 1.5, f"limit of 500 ms kept up to {sustainable:,.0f}/min ({low:,.0f} to {high:,.0f})", colour="c")
    return drawn("The wait stays small and then rises steeply; the load at which it meets the limit is the capacity", [panel])


def _served(n: int, gap_ms: float) -> list[Completed]:
    """Requests that come by chance, in turn at two targets of three slots each; the fit does not know that."""
    luck, queue = random.Random(1), EventQueue(1_700_000_000_000.0)
    servers, ended = [Queueing(queue, 3), Queueing(queue, 3)], list[Completed]()

    def done(number: int, at_ms: float, _outcome: object) -> None:
        ended.append(
            Completed(
                at_ms=queue.now_ms, started_at_ms=at_ms, duration_ms=queue.now_ms - at_ms, outcome="ok", request_id=f"r{number}", target="ab"[number % 2],
                service="chat", output_tokens=100,
            )
        )  # fmt: skip

    for number in range(n):
        queue.advance_to(queue.now_ms + luck.expovariate(1.0 / gap_ms))
        servers[number % 2].submit(luck.lognormvariate(math.log(2000.0), 0.5), partial(done, number, queue.now_ms))
    queue.advance_to(queue.now_ms + _MINUTE_MS)
    return ended


class Traffic:
    """Requests to two targets by routers, in virtual time: `west` becomes 2.5 times as slow for six minutes, and later nine of ten requests there fail."""

    END_MIN = 33.0

    def __init__(self) -> None:
        targets = [{"id": name, "provider": f"p-{name}", "model": "m", "service": "chat", "capacity": 3} for name in ("east", "west")]
        self.fleet = Fleet(Config.model_validate({"target": targets}), routers=2, seed=3)
        self.start_ms = self.fleet.now_ms
        self.west: list[tuple[float, float, bool]] = []
        """Minute, milliseconds, whether it succeeded."""
        self.shares = [[0, 0] for _ in range(round(2 * self.END_MIN))]
        """Of each half minute, requests to west and requests."""

    def run(self) -> None:
        """All of it."""
        luck, at_ms = random.Random(4), self.start_ms
        while (at_ms := at_ms + luck.expovariate(3.5 / 1000.0)) < self.start_ms + self.END_MIN * _MINUTE_MS:
            self.fleet.advance_to(at_ms)
            self._ask(luck, self.minute(at_ms))

    def _ask(self, luck: random.Random, minute: float) -> None:
        router = self.fleet.router(luck.randrange(2))
        call = router.start(decision := router.choose())
        west = decision.target == "west"
        ok = not (west and 17.0 <= minute < 23.0 and luck.random() < 0.9)
        ms = 900.0 * luck.lognormvariate(-0.08, 0.4) * (2.5 if west and 6.0 <= minute < 12.0 else 1.0 if ok else 0.1)
        share = self.shares[int(2.0 * minute)]
        share[0], share[1] = share[0] + west, share[1] + 1
        if west:
            self.west.append((minute, ms, ok))
        self.fleet.queue.after(ms, partial(self._end, call, ok))

    def _end(self, call: Call, ok: bool) -> None:  # noqa: FBT001 - of an event
        call.tokens(input=500, output=150)
        call.finish(outcome="ok" if ok else "error", error_type="" if ok else "server_error")

    def minute(self, at_ms: float) -> float:
        """Of the story."""
        return (at_ms - self.start_ms) / _MINUTE_MS


def insights() -> str:
    """Half an hour of the whole pipeline: what happens to a target, where the routers send, what is said and when."""
    traffic = Traffic()
    traffic.run()
    minutes = (3.0, traffic.END_MIN)
    x_ticks = [(float(m), f"{m} min") for m in range(3, 34, 3)]
    times = Panel(
        "Answers of target west, ms; failures in red", minutes, (25.0, 9000.0), height=130, log=True, x_ticks=x_ticks,
        y_ticks=[(ms, f"{ms:g}") for ms in (30.0, 100.0, 300.0, 1000.0, 3000.0)],
    )  # fmt: skip
    for ok, colour in ((True, "a"), (False, "b")):
        times.dots([(minute, ms) for minute, ms, good in traffic.west if good == ok and minute >= minutes[0]], colour)
    share = Panel("Part of the requests that routers send there", minutes, (0.0, 1.0), height=60, x_ticks=x_ticks, y_ticks=[(0.0, "0 %"), (0.5, "50 %")])
    share.line([(n / 2.0 + 0.25, west / max(1, n_all)) for n, (west, n_all) in enumerate(traffic.shares) if n / 2.0 >= minutes[0]], "c")
    return drawn("A slow-down and an outage of one target, and what is said of them", [times, share, _said(traffic, minutes, x_ticks)])


def _said(traffic: Traffic, minutes: tuple[float, float], x_ticks: list[tuple[float, str]]) -> Panel:
    said = [insight for insight in traffic.fleet.insights() if isinstance(insight, Change | Alert)]
    panel = Panel("What is said", minutes, (0.0, float(len(said))), height=30 * len(said), x_ticks=x_ticks)
    for row, insight in enumerate(reversed(said)):
        if isinstance(insight, Change):
            begun_ms, factor = insight.detected_ms, 100.0 if insight.metric == "error_ratio" else 1.0
            unit = "%" if insight.metric == "error_ratio" else "ms"
            text = f"change: {insight.metric.replace('_', ' ')} {factor * insight.before:,.3g} → {factor * insight.after:,.4g} {unit}"
        else:
            begun_ms, text = insight.started_ms, f"alert: {insight.kind.replace('_', ' ')}, {insight.severity}"
        begun, ended = traffic.minute(begun_ms), traffic.minute(insight.ended_ms or traffic.fleet.now_ms)
        panel.span(begun, ended, "d" if isinstance(insight, Change) else "b", low=row + 0.2, high=row + 0.8, opacity=0.5)
        beside = (begun - 0.2, "end") if ended > 0.75 * minutes[1] else (ended + 0.2, "")
        panel.words(beside[0], row + 0.38, text, kind=beside[1])
    return panel


PICTURES: dict[str, Callable[[], str]] = {"insights": insights, "changes": changes, "trends": trends, "alerts": alerts, "capacity": capacity}


def main() -> None:
    """Draw all of them anew."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw())


if __name__ == "__main__":
    main()
