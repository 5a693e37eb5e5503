"""The worst decisions of a report: what they have in common, then each in a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from routecast.dashboards.report.figures import percent, seconds, spell_words
from routecast.dashboards.report.html import Cell, h2, items, p, table
from routecast.models.backtest import Backtest, SpellRow, Worst
from routecast.models.decision import Explanation

_MANY = 3


def worst_decisions(report: Backtest) -> list[str]:
    """The requests that lost most under the first policy."""
    if not report.worst:
        return []
    says = f"The {len(report.worst)} requests that lost most under {report.policies[0].name}, beside what the quickest target would have taken for them alone."
    rows = [_row(it, report.spells) for it in report.worst]
    heads = ("at, s", "took, s", "could take, s", "went to", "chance", "expected there, s", "load there", "meanwhile")
    note = "Chance: the probability with which the target was drawn. Expected: for a request of average length, the wait included, as the router saw it."
    return [h2("Worst decisions"), p(says), items(_common(report.worst, report.spells)), table(heads, rows, "Worst decisions, the worst first"), p(note, "dim")]


def _row(it: Worst, spells: Sequence[SpellRow]) -> tuple[Cell, ...]:
    told = it.decision
    took: Cell = (seconds(it.took_ms), "failed") if it.failed else seconds(it.took_ms)
    met = _met(it, spells)
    return (
        f"{it.at_s:.0f}", took, seconds(it.best_alone_ms), told.target, percent(told.propensity), seconds(told.response_time_ms), _load(told),
        spell_words(met) if met else "–",
    )  # fmt: skip


def _load(told: Explanation) -> str:
    """The first half of the sentence: what is in flight of what it serves at once."""
    return told.load_impact.split(";")[0].replace(" it serves at once", "")


def _met(it: Worst, spells: Sequence[SpellRow]) -> SpellRow | None:
    """The trouble that its target had while it waited."""
    end_s = it.at_s + it.took_ms / 1000.0
    return next((spell for spell in spells if spell.target == it.decision.target and spell.from_s <= end_s and spell.until_s >= it.at_s), None)


def _common(worst: Sequence[Worst], spells: Sequence[SpellRow]) -> list[str]:
    """What many of them share: their target, its trouble, a request that is long anyway."""
    n, by_target = len(worst), Counter(it.decision.target for it in worst)
    found = [f"{count} of {n} went to {name}." for name, count in by_target.most_common() if count >= _MANY]
    counts = (
        (sum(_met(it, spells) is not None for it in worst), "met a trouble of their target"),
        (sum(it.failed for it in worst), "failed"),
        (sum(it.took_ms > 2.0 * it.decision.response_time_ms for it in worst), "took more than twice what was expected there: nobody could know it beforehand"),
    )  # fmt: skip
    return [*found, *(f"{count} of {n} {what}." for count, what in counts if count)]
