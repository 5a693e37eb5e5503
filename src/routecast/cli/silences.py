"""`routecast alerts silence`, `silences` and `unsilence`: what operators do not want to hear of for some time."""

from __future__ import annotations

import difflib
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from routecast.cli.durations import seconds_of
from routecast.cli.kafka import READ_S, File, Json, Plain, Url, ask, configured
from routecast.cli.render import complain, form, show, show_json, show_rows
from routecast.cli.targets import USAGE, Wait
from routecast.dashboards.terminal.words import lasting, line_of

if TYPE_CHECKING:
    from routecast.models.config import Config
    from routecast.models.events import Control
    from routecast.models.insights import Alert
    from routecast.models.overview import Silence, Silenced
    from routecast.streams.operators.insights_log import Said

_LONGEST_S = 30 * 86_400.0
What = Annotated[
    list[str] | None,
    typer.Argument(metavar="KIND|ID|SUBJECT…", help="error_rate, response_time, throughput, quality; an alert; a target, service, provider or `system`."),
]
Severity = Annotated[str | None, typer.Option("--severity", help="Up to this severity: low, medium, high; critical ones are heard then. Any by default.")]


class Meant(NamedTuple):
    """Alerts that an operator means; None is any."""

    kind: Any
    subject: str | None


def silence(
    what: What = None,
    *,
    lasts: Annotated[str, typer.Option("--for", metavar="TIME", help="How long: 30m, 2h, 1d; 30 days at most.")],
    why: Annotated[str, typer.Option("--why", help="The reason, for colleagues.")],
    severity: Severity = None,
    wait: Wait = 10.0,
    config: File = None,
    kafka: Url = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Hear nothing of these alerts for some time: they are raised and shown, and wake nobody. Kinds and subjects together mean both.

    `silence quality east west` is for the quality of two targets, `silence quality` for that of everybody. The same again changes its end.
    """
    until_s = _seconds(lasts)
    if not why.strip() or len(why) > 256:
        raise typer.BadParameter("--why: give a reason of at most 256 characters")
    loaded, meant, now_ms = _meant(what, config, kafka)
    words = [_word("silence", now_ms, one, severity, until_ms=round(now_ms + until_s * 1000.0), why=why.strip()) for one in meant]
    _tell(loaded, words, wait)
    _show(loaded, f"silent for {lasting(until_s * 1000.0)}: ", words, json=json, plain=plain)


def unsilence(
    what: What = None, *, severity: Severity = None, wait: Wait = 10.0, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False
) -> None:  # fmt: skip
    """Hear of them again: give what was given to `silence`; nothing takes every silence back."""
    from routecast.streams.clock import SystemClock  # noqa: PLC0415 - slow to import
    from routecast.streams.operators.insights_log import silences as kept  # noqa: PLC0415

    loaded, now_ms = configured(config, kafka), SystemClock().now_ms()
    standing = ask(loaded.kafka, kept(loaded, now_ms))
    if what:
        loaded, meant, now_ms = _meant(what, config, kafka, known=[silence.subject for silence in standing if silence.subject])
        wanted = {(one.kind, one.subject, severity) for one in meant}
    else:
        wanted = {(silence.kind, silence.subject, silence.severity) for silence in standing}
    found = [silence for silence in standing if (silence.kind, silence.subject, silence.severity) in wanted]
    if not found:
        complain("nothing is silenced" if not standing else "no such silence: `routecast alerts silences` lists them; give the same words, and --severity")
        raise typer.Exit(USAGE if standing else 0)
    words = [_word("unsilence", now_ms, Meant(silence.kind, silence.subject), silence.severity) for silence in found]
    _tell(loaded, words, wait)
    _show(loaded, "heard again: ", words, json=json, plain=plain)


def silences(*, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False) -> None:
    """List the silences that have not ended."""
    found = _silenced(configured(config, kafka))
    if json:
        show_json(found)
    elif plain:
        lines = [(s.kind or "", s.subject or "", s.severity or "", f"{s.until_ms:.0f}", f"{s.since_ms:.0f}", line_of(s.why)) for s in found.silences]
        show_rows(("kind", "subject", "severity", "until_ms", "since_ms", "why"), lines, "plain")
    elif found.silences:
        show_rows(("kind", "subject", "up to", "ends in", "for", "why"), [_row(one, found.at_ms) for one in found.silences], form(json=json, plain=plain))
    else:
        show("nothing is silenced")


def _row(silence: Silence, now_ms: float) -> tuple[str, ...]:
    meant = (silence.kind or "any", line_of(silence.subject or "any"), silence.severity or "any")
    return (*meant, lasting(silence.until_ms - now_ms), lasting(now_ms - silence.since_ms), line_of(silence.why))


def _silenced(loaded: Config) -> Silenced:
    from routecast.models.overview import Silenced  # noqa: PLC0415 - slow to import
    from routecast.streams.clock import SystemClock  # noqa: PLC0415
    from routecast.streams.operators.insights_log import silences as kept  # noqa: PLC0415

    now_ms = SystemClock().now_ms()
    return Silenced(at_ms=now_ms, silences=tuple(ask(loaded.kafka, kept(loaded, now_ms))))


def _seconds(text: str) -> float:
    try:
        seconds = seconds_of(text)
    except ValueError as error:
        raise typer.BadParameter(f"--for: {error}") from None
    if not 0.0 < seconds <= _LONGEST_S:
        raise typer.BadParameter("--for: more than nothing, and at most 30d")
    return seconds


def _meant(what: list[str] | None, config: Any, kafka: str | None, known: list[str] | None = None) -> tuple[Config, list[Meant], float]:
    """What these words mean: kinds × subjects, and each alert by itself."""
    from routecast.streams.clock import SystemClock  # noqa: PLC0415 - slow to import
    from routecast.streams.operators.insights_log import said  # noqa: PLC0415

    if not what:
        raise typer.BadParameter("say what to silence: a kind, an alert or a subject")
    loaded, now_ms = configured(config, kafka), SystemClock().now_ms()
    return loaded, _read(what, loaded, ask(loaded.kafka, said(loaded, now_ms), within_s=READ_S), known or []), now_ms


def _read(what: list[str], loaded: Config, found: Said, more: list[str]) -> list[Meant]:
    from routecast.analytics.alerts.rules import KINDS  # noqa: PLC0415 - slow to import

    alerts: dict[str, Alert] = {alert.id: alert for alert in found.alerts}
    subjects = _subjects(loaded, found) | set(more)
    kinds: list[str] = [word for word in what if word in KINDS]
    ids = [word for word in what if word in alerts and word not in kinds]
    named = [word for word in what if word in subjects and word not in (*kinds, *ids)]
    unknown = [word for word in what if word not in (*kinds, *ids, *named)]
    if unknown:
        near = difflib.get_close_matches(unknown[0], [*KINDS, *alerts, *subjects], n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(map(repr, near))}?" if near else f"kinds are {', '.join(KINDS)}"
        complain(f"no kind, alert or subject {unknown[0]!r}; {hint}")
        raise typer.Exit(USAGE)
    any_: list[str | None] = [None]
    pairs = [Meant(kind, subject) for kind, subject in product(kinds or any_, named or any_)] if kinds or named else []
    return [*pairs, *(Meant(alerts[name].kind, alerts[name].subject.id) for name in ids)]


def _subjects(loaded: Config, found: Said) -> set[str]:
    configured_ = {name for target in loaded.target for name in (target.id, target.service, target.provider)}
    return configured_ | {"system"} | {name for alert in found.alerts for name in (alert.subject.id, alert.subject.service, alert.subject.provider) if name}


def _word(action: Any, now_ms: float, meant: Meant, severity: Any, **more: Any) -> Control:
    from routecast.models.events import Control  # noqa: PLC0415 - slow to import
    from routecast.models.severity import SEVERITIES  # noqa: PLC0415

    if severity not in {None, *SEVERITIES}:
        complain(f"no severity {severity!r}: choose one of {', '.join(SEVERITIES)}")
        raise typer.Exit(USAGE)
    return Control(at_ms=round(now_ms), action=action, alert=meant.kind, subject=meant.subject or "", severity=severity, **more)


def _tell(loaded: Config, words: list[Control], wait_s: float) -> None:
    from routecast.streams.clock import SystemClock  # noqa: PLC0415 - slow to import
    from routecast.streams.operators.control import tell  # noqa: PLC0415

    for word in words:
        ask(loaded.kafka, tell(loaded, word, None, wait_s=wait_s, clock=SystemClock()), within_s=None)


def _show(loaded: Config, said: str, words: list[Control], *, json: bool, plain: bool) -> None:
    if json:
        show_json(_silenced(loaded))
        return
    if plain:
        rows = [(word.action, word.alert or "", word.subject, word.severity or "") for word in words]
        show_rows(("action", "kind", "subject", "severity"), rows, "plain")
        return
    for word in words:
        show(said + _named(word))


def _named(word: Control) -> str:
    kind = "all alerts" if word.alert is None else f"alerts of kind {word.alert}"
    return kind + (f" of {word.subject}" if word.subject else "") + (f", up to severity {word.severity}" if word.severity else "")
