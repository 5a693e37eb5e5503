"""`routecast alerts`: what is the matter, the story of one alert, and whether the webhook works."""

from __future__ import annotations

import asyncio
import difflib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from routecast.cli.insights_screen import alert_table, colours, note_of
from routecast.cli.kafka import READ_S, File, Json, Plain, Url, ask, configured
from routecast.cli.render import complain, form, show, show_json, show_rows
from routecast.cli.silences import silence, silences, unsilence
from routecast.cli.targets import USAGE, warn_of_silence
from routecast.dashboards.terminal.words import lasting, line_of

if TYPE_CHECKING:
    from pathlib import Path

    from routecast.models.config import Alerting, Config
    from routecast.models.insights import Alert, AlertEvidence
    from routecast.models.notification import Notification
    from routecast.models.overview import AlertStory, Tried
    from routecast.streams.operators.insights_log import Said

app = typer.Typer(no_args_is_help=True, help="Look at alerts, try the webhook, silence what need not be heard.")
app.command("silence")(silence)
app.command("silences")(silences)
app.command("unsilence")(unsilence)


@app.command("list")
def list_alerts(
    *,
    every: Annotated[bool, typer.Option("--all", help="Also those that are over, as far as the log goes back (30 days).")] = False,
    severity: Annotated[str | None, typer.Option(help="low, medium, high or critical: of this severity and more severe ones.")] = None,
    service: Annotated[str | None, typer.Option("--service", help="Of this service and its targets.")] = None,
    config: File = None,
    kafka: Url = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """List the alerts that go on, the most severe first."""
    from routecast.models.overview import AlertLines  # noqa: PLC0415 - slow to import

    least = _severity(severity)
    loaded, found, now_ms = _said(config, kafka)
    alerts = [alert for alert in _alerts(found, every=every, service=service) if _level(alert.severity) >= least]
    warn_of_silence(loaded, found.snapshots)
    if json:
        show_json(AlertLines(at_ms=now_ms, snapshots=found.snapshots, alerts=tuple(alerts)))
    elif plain:
        heads = ("id", "severity", "state", "kind", "about", "service", "since_ms", "ended_ms", "notifies", "title")
        show_rows(heads, [_plain(alert) for alert in alerts], "plain")
    elif alerts:
        colours().print(alert_table(alerts, now_ms))
    else:
        show("no alert goes on: nobody needs to be woken" if not every else "there was no alert, as far as the log goes back")


@app.command("show")
def show_alert(
    alert: Annotated[str, typer.Argument(metavar="ID", help="Of the alert, or its beginning.")],
    *, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False,
) -> None:  # fmt: skip
    """Show an alert with its evidence, its incident, and what explains it."""
    loaded, found, now_ms = _said(config, kafka)
    story = _story(found, alert)
    warn_of_silence(loaded, found.snapshots)
    if json:
        show_json(story)
    else:
        _print(story, now_ms, plain=plain)


@app.command("test")
def try_webhook(*, config: File = None, json: Json = False, plain: Plain = False) -> None:
    """Post a test notification, marked as one, to the webhook, and say what comes back; exit code 5 where it is not taken."""
    from routecast.models.errors import CheckFailed, ConfigError  # noqa: PLC0415 - pydantic is slow to import
    from routecast.streams.notifications.webhook import webhook_url  # noqa: PLC0415

    settings = configured(config, None).alerts
    url = webhook_url(settings)
    if url is None:
        raise ConfigError("no webhook is configured: write its URL into a file and name that file in alerts.webhook_file")
    if find_spec("aiohttp") is None:
        raise ConfigError("this needs aiohttp, which is not installed: pip install 'routecast[streams]'")
    tried = asyncio.run(_try(url, settings))
    if json:
        show_json(tried)
    elif plain:
        rows = [("yes" if tried.delivered else "no", str(tried.status), tried.key, f"{tried.took_ms:.0f}", tried.answer)]
        show_rows(("delivered", "status", "key", "took_ms", "answer"), rows, "plain")
    elif tried.delivered:
        show(f"the webhook took the test ({tried.status}) after {tried.took_ms:.0f} ms; the receiver says {tried.answer!r}")
    if not tried.delivered:
        raise CheckFailed(f"the webhook did not take the test ({tried.answer}): check the address in {settings.webhook_file!r} and the receiver")


async def _try(url: str, settings: Alerting) -> Tried:
    from routecast.models.overview import Tried  # noqa: PLC0415 - slow to import
    from routecast.streams.clock import SystemClock  # noqa: PLC0415
    from routecast.streams.notifications.posting import poster  # noqa: PLC0415

    clock = SystemClock()
    notification = _test_of(clock.now_ms())
    begun_s = clock.monotonic_s()
    async with poster(url, settings.timeout_ms) as post:
        answer = await post(notification)
    took_ms = (clock.monotonic_s() - begun_s) * 1000.0
    said = answer.message if answer.verdict == "delivered" else answer.said
    return Tried(delivered=answer.verdict == "delivered", key=notification.key, status=answer.status, answer=said, took_ms=round(took_ms, 1))


def _test_of(now_ms: float) -> Notification:
    from routecast.models.insights import Alert, Subject  # noqa: PLC0415 - slow to import
    from routecast.models.notification import Notification  # noqa: PLC0415

    alert = Alert(
        id=f"test-{now_ms:.0f}", version=1, incident="test", notify=True, kind="error_rate", severity="low", state="raised",
        subject=Subject(kind="system", id="system"), rule="threshold", title="a test of the webhook: nothing is the matter", threshold=0.0, value=0.0,
        target=0.0, unit="ratio", started_ms=round(now_ms), at_ms=round(now_ms),
    )  # fmt: skip
    return Notification(text="TEST: a test of the webhook by routecast: nothing is the matter", test=True, alert=alert)


def _said(config: Path | None, kafka: str | None) -> tuple[Config, Said, float]:
    from routecast.streams.clock import SystemClock  # noqa: PLC0415 - slow to import
    from routecast.streams.operators.insights_log import said  # noqa: PLC0415

    loaded, now_ms = configured(config, kafka), SystemClock().now_ms()
    return loaded, ask(loaded.kafka, said(loaded, now_ms), within_s=READ_S), now_ms


def _alerts(found: Said, *, every: bool, service: str | None) -> list[Alert]:
    from routecast.analytics.insights.standing import concerns, going_on, ordered  # noqa: PLC0415 - slow to import

    known = found.alerts
    kept = ordered(known) if every else going_on(known, found.as_of_ms)
    return [alert for alert in kept if concerns(alert.subject, service)]


def _severity(name: str | None) -> int:
    from routecast.models.severity import SEVERITIES  # noqa: PLC0415 - with the models

    if name is not None and name not in SEVERITIES:
        complain(f"no severity {name!r}: choose one of {', '.join(SEVERITIES)}")
        raise typer.Exit(USAGE)
    return 0 if name is None else _level(name)


def _level(severity: str) -> int:
    from routecast.models.severity import SEVERITIES  # noqa: PLC0415 - with the models

    return [*SEVERITIES].index(severity)  # type: ignore[arg-type]


def _plain(alert: Alert) -> tuple[str, ...]:
    ended = "" if alert.ended_ms is None else f"{alert.ended_ms:.0f}"
    heard = "no" if note_of(alert, alert.at_ms) else "yes"
    about = (alert.kind, alert.subject.id, alert.subject.service or "")
    return (alert.id, alert.severity, alert.state, *about, f"{alert.started_ms:.0f}", ended, heard, line_of(alert.title))


def _story(found: Said, name: str) -> AlertStory:
    from routecast.analytics.insights.standing import going_on, ordered  # noqa: PLC0415 - slow to import
    from routecast.models.overview import AlertStory  # noqa: PLC0415

    known = {alert.id: alert for alert in found.alerts}
    matching = [known[name]] if name in known else [alert for alert in known.values() if alert.id.startswith(name)]
    if len(matching) != 1:
        near = [alert.id for alert in matching] or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        complain(f"no alert {name!r}; " + (f"did you mean {', '.join(map(repr, near[:5]))}?" if near else "`routecast alerts list --all` lists them"))
        raise typer.Exit(USAGE)
    alert = matching[0]
    current = {other.id for other in going_on(known.values(), found.as_of_ms)}
    return AlertStory(
        alert=alert, going_on=alert.id in current, explained_by=known.get(alert.inhibited_by),
        explains=tuple(ordered(other for other in known.values() if other.inhibited_by == alert.id and other.id in current)),
        incident=tuple(ordered(other for other in known.values() if other.incident == alert.incident and alert.id not in {other.id, other.inhibited_by})),
    )  # fmt: skip


def _print(story: AlertStory, now_ms: float, *, plain: bool) -> None:
    alert, chosen = story.alert, form(json=False, plain=plain)
    lasted = f"for {lasting(now_ms - alert.started_ms)}" if story.going_on else f"over after {lasting((alert.ended_ms or alert.at_ms) - alert.started_ms)}"
    figures = [
        ("id", alert.id), ("severity", alert.severity), ("state", f"{alert.state}, {lasted}"), ("kind", alert.kind),
        ("about", f"{alert.subject.kind} {line_of(alert.subject.id)}"), ("service", line_of(alert.subject.service or "-")), ("rule", alert.rule),
        ("value", _figure(alert.value, alert.unit)), ("limit", _figure(alert.threshold, alert.unit)), ("asked for", _figure(alert.target, alert.unit)),
        ("said last", f"{lasting(now_ms - alert.at_ms)} ago, version {alert.version}"), ("incident", alert.incident),
        ("heard", note_of(alert, now_ms) or "yes"),
    ]  # fmt: skip
    if plain:
        show_rows(("figure", "value"), [*figures, ("title", line_of(alert.title))], chosen)
    else:
        show(f"{line_of(alert.title)}\n")
        show_rows(("figure", "value"), figures, chosen)
        show("\nwhat the windows of its rule say")
    show_rows(("window", "n", "bad", "value", "95 % interval"), [_evidence(window, alert.unit) for window in alert.evidence], chosen)
    others = {"explained by": (story.explained_by,) if story.explained_by else (), "explains": story.explains, "same incident": story.incident}
    rows = [(role, other.id, other.severity, other.state, line_of(other.title)) for role, alerts in others.items() for other in alerts]
    if rows and not plain:
        show("\nother alerts it has to do with")
    if rows:
        show_rows(("as", "id", "severity", "state", "title"), rows, chosen)


def _evidence(window: AlertEvidence, unit: str) -> tuple[str, ...]:
    interval = "-" if window.low is None or window.high is None else f"{_figure(window.low, unit)} to {_figure(window.high, unit)}"
    value = "-" if window.value is None else _figure(window.value, unit)
    return lasting(window.window_ms), f"{window.n}", f"{window.bad:.6g}", value, interval


def _figure(value: float, unit: str) -> str:
    if unit == "ratio":
        return f"{100.0 * value:.3g} %"
    return f"{value:.3g} × allowed" if unit == "burn_rate" else f"{value:.4g} {unit.replace('_', ' ').replace('per min', '/min')}"
