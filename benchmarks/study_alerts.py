"""The study of alerts: months with an outage, a partial failure, a slow day and two hundred blips, whom they wake, beside fixed thresholds.

A page is a notification of severity high or critical that says that something began or got worse. The fixed thresholds page while the last minute,
or the last five, of a target or the service has an error ratio above 15 % or a mean above 10 s, and say anything above 5 % or 3 s.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
from alert_months import DAY_MS, PERIOD_MS, Look, Trouble, config, looks, troubles
from core import Row

from routecast.analytics.alerts.alerts import Alerts
from routecast.analytics.checkpoint import pack, state_of

WITHIN_MS = 300_000
"""Pages are to come within this."""
_PAGING = frozenset({"high", "critical"})
_AFTER_MS = 600_000
"""What is said so long after a trouble may still be about it."""


class Said(NamedTuple):
    """Something was said at a time: a page, or something to look at later."""

    at_ms: float
    page: bool
    slow: bool
    """Whether it is about response times."""


Rule = Callable[[Look], list[Said]]


class Month(NamedTuple):
    """What one rule made of one month."""

    rule: str
    pages: dict[str, int]
    """By trouble; `blip` and `nothing` are false."""
    said: dict[str, int]
    """Of everything, pages included."""
    delay_s: dict[str, float]
    """Until the first page; for the slow day until the first thing said. Not a number: never."""
    grown: bool
    """Whether any array of the state is larger than on the first day."""


class Ours:
    """The product's alerts."""

    def __init__(self) -> None:
        self.alerts = Alerts(config())

    def __call__(self, look: Look) -> list[Said]:
        """What is said of a period."""
        said = self.alerts.check(look.period, look.states)
        return [
            Said(alert.at_ms, alert.notify and alert.severity in _PAGING, alert.kind == "response_time")
            for alert in said
            if alert.state == "raised" or (alert.state == "updated" and alert.notify)
        ]

    def sizes(self) -> list[int]:
        """Bytes of every array."""
        return [value.nbytes for part in self.alerts.parts.values() for value in state_of(part).values() if isinstance(value, np.ndarray)]


class Fixed:
    """Thresholds on the last minutes, as they are customarily set."""

    def __init__(self, minutes: int) -> None:
        self._kept = minutes * 60_000 // PERIOD_MS
        self._recent: list[tuple[np.ndarray, ...]] = []
        self._was = np.zeros((0, 0), bool)

    def __call__(self, look: Look) -> list[Said]:
        """What is said of a period."""
        period = look.period
        self._recent = [*self._recent[1 - self._kept :], (period.judged, period.failed, period.duration_n, period.duration_ms)]
        judged, failed, n, ms = (np.sum(column, axis=0) for column in zip(*self._recent, strict=True))
        ratio, mean = failed / np.maximum(1.0, judged), ms / np.maximum(1.0, n)
        now = np.stack([ratio > 0.15, mean > 10_000.0, ratio > 0.05, mean > 3_000.0])
        new, self._was = now & ~self._was if len(self._was) else now, now
        return [Said(period.end_ms, page=number < 2, slow=number % 2 == 1) for number in np.repeat(np.arange(4), new.sum(axis=1)).tolist()]


RULES: dict[str, Callable[[], Rule]] = {"routecast": Ours, "fixed, 1 min": lambda: Fixed(1), "fixed, 5 min": lambda: Fixed(5)}


def month(seed: int, days: int, breaker: bool) -> list[Month]:  # noqa: FBT001 - crosses processes
    """All rules on the same month."""
    happening = troubles(seed, days, 200 * days // 30)
    rules = {name: make() for name, make in RULES.items()}
    said: dict[str, list[Said]] = {name: [] for name in rules}
    sizes: list[int] = []
    for number, look in enumerate(looks(seed, happening, days=days, breaker=breaker)):
        for name, rule in rules.items():
            said[name] += rule(look)
        if number == DAY_MS // PERIOD_MS:
            sizes = _sizes(rules["routecast"])
    grown = sizes != _sizes(rules["routecast"])
    return [_judged(name, happening, items, grown) for name, items in said.items()]


def _sizes(rule: Rule) -> list[int]:
    return rule.sizes() if isinstance(rule, Ours) else []


def _judged(rule: str, happening: Sequence[Trouble], said: Sequence[Said], grown: bool) -> Month:  # noqa: FBT001 - of this file alone
    names = ("outage", "partial", "slow day", "blip", "nothing")
    owners = [_owner(happening, item) for item in said]
    delays: dict[str, float] = {}
    for trouble in happening[:3]:
        wanted = [item.at_ms for item, owner in zip(said, owners, strict=True) if owner == trouble.name and (item.page or trouble.name == "slow day")]
        delays[trouble.name] = (min(wanted) - trouble.start_ms) / 1000.0 if wanted else float("nan")
    pages = {name: sum(item.page for item, owner in zip(said, owners, strict=True) if owner == name) for name in names}
    return Month(rule, pages, {name: owners.count(name) for name in names}, delays, grown)


def _owner(happening: Sequence[Trouble], said: Said) -> str:
    """The trouble that something was said about: outage and partial failure where it can be, then the slow day where it is about time, then blips."""
    order = (happening[2], *happening[3:]) if said.slow else (*happening[3:], happening[2])
    for trouble in (*happening[:2], *order):
        if trouble.start_ms < said.at_ms <= trouble.end_ms + _AFTER_MS:
            return trouble.name
    return "nothing"


def months(seeds: Iterable[int], days: int, jobs: int) -> dict[bool, list[list[Month]]]:
    """By whether the breaker works, one entry for each seed."""
    work = [(seed, breaker) for breaker in (True, False) for seed in seeds]
    with ProcessPoolExecutor(jobs) as pool:
        found = list(pool.map(month, *zip(*((seed, days, breaker) for seed, breaker in work), strict=True)))
    return {kind: [item for item, (_, breaker) in zip(found, work, strict=True) if breaker == kind] for kind in (True, False)}


def state_bytes(targets: int) -> int:
    """Of the state, packed, after two hours of traffic to all of these targets."""
    alerts = Alerts(config(targets))
    for look in islice(looks(1, [], days=1, breaker=False, targets=targets, per_min=40.0 * targets), 720):
        alerts.check(*look)
    return len(pack({name: state_of(part) for name, part in alerts.parts.items()}))


def rows() -> list[Row]:
    """Sizes of the state."""
    return [Row(f"state of alerts, {targets:,} targets, packed", f"{state_bytes(targets) / 1000:,.0f} kB") for targets in (20, 1000)]


def _print(found: Sequence[Sequence[Month]]) -> None:
    head = ("delay of the page: outage", "partial", "slow day said after", "pages: outage", "partial", "slow day", "blips", "nothing", "said of blips")
    print(f"  {'':<14}" + "".join(f"{name:<{max(12, len(name) + 2)}}" for name in head))
    for rule in RULES:
        mine = [item for run in found for item in run if item.rule == rule]
        delays = [[item.delay_s[name] for item in mine] for name in ("outage", "partial", "slow day")]
        pages = [[item.pages[name] for item in mine] for name in ("outage", "partial", "slow day", "blip", "nothing")]
        cells = [*(_spread(column, duration=True) for column in delays), *(_spread(column) for column in pages), _spread([item.said["blip"] for item in mine])]
        print(f"  {rule:<14}" + "".join(f"{cell:<{max(12, len(name) + 2)}}" for name, cell in zip(head, cells, strict=True)))


def _spread(values: Sequence[float], *, duration: bool = False) -> str:
    if any(value != value for value in values):  # noqa: PLR0124 - not a number
        return "missed"
    unit = ("h", 3600.0) if duration and statistics.median(values) > 7200.0 else ("s", 1.0) if duration else ("", 1.0)
    low, high = min(values) / unit[1], max(values) / unit[1]
    said = f"{low:.3g}" if low == high else f"{low:.3g}–{high:.3g}"
    return f"{said} {unit[0]}".strip()


def _verdict(found: Iterable[Sequence[Month]]) -> str:
    ours = [item for run in found for item in run if item.rule == "routecast"]
    checks = {
        "outage and partial failure paged within 5 minutes": all(item.delay_s[name] <= WITHIN_MS / 1000.0 for item in ours for name in ("outage", "partial")),
        "one page each": all(item.pages[name] == 1 for item in ours for name in ("outage", "partial")),
        "the slow day is told": all(item.delay_s["slow day"] <= DAY_MS / 1000.0 for item in ours),
        "no page for blips or nothing": not any(item.pages[name] for item in ours for name in ("blip", "nothing")),
        "the state does not grow": not any(item.grown for item in ours),
    }
    return "\n".join(f"  {name}: {'met' if kept else 'SHORT'}" for name, kept in checks.items())


def main(argv: Sequence[str] | None = None) -> None:
    """Run the study and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="months of each kind (default: %(default)s)")
    parser.add_argument("--days", type=int, default=30, help="length of a month; blips in proportion (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    options = parser.parse_args(argv)
    found = months(range(1, options.seeds + 1), options.days, options.jobs)
    for breaker, runs in found.items():
        print("\nrouters with a breaker send elsewhere" if breaker else "\napplications go on sending")
        _print(runs)
    print("\ntargets")
    print(_verdict([*found[True], *found[False]]))
    for row in rows():
        print(f"  {row.measure}: {row.value}")


if __name__ == "__main__":
    main()
