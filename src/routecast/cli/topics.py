"""`routecast topics`: make the topics, list them, check them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from routecast.cli.kafka import File, Json, Plain, Url, ask, configured
from routecast.cli.render import form, show, show_json, show_rows

if TYPE_CHECKING:
    from routecast.models.config import Kafka
    from routecast.models.topics import TopicState, TopicStates

app = typer.Typer(no_args_is_help=True, help="Make the topics on Kafka, list them, check them.")


@app.command()
def create(
    *,
    config: File = None,
    kafka: Url = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be made, and whether the brokers would do it.")] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Make the topics that are missing; exit code 5 and what to have made where this login may not."""
    from routecast.models.topics import TopicsMade  # noqa: PLC0415 - pydantic is slow to import
    from routecast.streams.brokers.admin import create_topics, missing, topics  # noqa: PLC0415

    settings = configured(config, kafka).kafka
    lacking = missing(settings, ask(settings, topics(settings)))
    names = ask(settings, create_topics(settings, dry_run=dry_run))
    made = TopicsMade(bootstrap=settings.bootstrap, dry_run=dry_run, made=tuple(shape for shape in lacking if shape.name in names))
    if json:
        show_json(made)
    elif not made.made:
        show("all topics exist: nothing to make")
    else:
        rows = [(shape.name, str(shape.partitions), str(shape.replication), _brief(shape.settings)) for shape in made.made]
        show_rows(("would make" if dry_run else "made", "partitions", "replication", "settings"), rows, form(json=json, plain=plain))


@app.command("list")
def list_topics(*, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False) -> None:
    """List the topics: partitions, replication, records, settings that matter, and whether they are as they must be."""
    settings = configured(config, kafka).kafka
    states = _states(settings)
    if json:
        show_json(states)
        return
    rows = [_row(state) for state in states.topics]
    show_rows(("topic", "partitions", "replication", "records", "settings", "check"), rows, form(json=json, plain=plain))


@app.command()
def check(*, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False) -> None:
    """Say whether the topics are as they must be; exit code 5 with every difference and the command that mends it."""
    from routecast.models.errors import CheckFailed  # noqa: PLC0415 - with the models

    settings = configured(config, kafka).kafka
    states = _states(settings)
    wrong = [state for state in states.topics if state.differences]
    if json:
        show_json(states)
    elif plain:
        show_rows(("topic", "difference", "mend"), [(s.name, item.what, item.mend) for s in wrong for item in s.differences], "plain")
    elif not wrong:
        show(f"ok: {len(states.topics)} topics at {states.bootstrap} are as they must be")
    for state in wrong if not (json or plain) else ():
        show(state.name)
        for item in state.differences:
            show(f"  {item.what}\n    {item.mend}")
    if wrong:
        raise CheckFailed(f"{len(wrong)} of {len(states.topics)} topics at {states.bootstrap} are not as they must be: mend them as listed")


def _states(settings: Kafka) -> TopicStates:
    from routecast.models.topics import TopicStates  # noqa: PLC0415 - pydantic is slow to import
    from routecast.streams.brokers.admin import topics, with_records  # noqa: PLC0415

    async def look() -> list[TopicState]:
        return await with_records(settings, await topics(settings))

    return TopicStates(bootstrap=settings.bootstrap, topics=tuple(ask(settings, look())))


def _row(state: TopicState) -> tuple[str, ...]:
    if not state.exists:
        return (state.name, "-", "-", "-", "", "missing")
    check = "differs" if state.differences else "ok"
    return (state.name, str(state.partitions), str(state.replication), str(state.records), _brief(state.settings), check)


def _brief(settings: Mapping[str, str]) -> str:
    """The settings in a few words; JSON has them in full."""
    parts = [settings.get("cleanup.policy", "")]
    if "retention.ms" in settings:
        parts.append(f"kept {_span(settings['retention.ms'])}")
    if "min.compaction.lag.ms" in settings:
        parts.append(f"lag {_span(settings['min.compaction.lag.ms'])}")
    if "max.message.bytes" in settings:
        parts.append(f"≤ {_size(settings['max.message.bytes'])}")
    return ", ".join([*parts, settings.get("message.timestamp.type", "")])


def _span(ms: str) -> str:
    if not ms.isdigit():
        return "for ever" if ms == "-1" else ms
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if int(ms) % length == 0 and int(ms):
            return f"{int(ms) // length} {unit}"
    return f"{ms} ms"


def _size(size: str) -> str:
    return f"{int(size) / 1024 / 1024:.0f} MiB" if size.isdigit() and int(size) >= 1 << 20 else f"{size} B"
