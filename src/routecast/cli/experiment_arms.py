"""Arms and guard rails as people write them at a terminal, read into an experiment."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import typer

if TYPE_CHECKING:
    from routecast.models.config import TargetConfig
    from routecast.models.experiments import Arm, Rail

DEFAULT_RAILS: dict[Rail, float] = {"errors": 0.02, "latency": 0.25, "slow": 0.05}
"""Two points more failures, a quarter more time, five points more slow answers."""


_BELONGS: Mapping[str, Callable[[TargetConfig], str | None]] = {
    "targets": lambda target: target.id, "model": lambda target: target.model, "provider": lambda target: target.provider,
    "region": lambda target: target.region,
}  # fmt: skip


class _Written(NamedTuple):
    name: str
    share: float | None
    policy: str
    targets: tuple[str, ...]
    """It has these alone; empty: all."""
    weights: dict[str, float]


def arms_of(texts: Sequence[str], targets: Sequence[TargetConfig]) -> tuple[Arm, ...]:
    """Arms written `NAME` or `NAME:policy=…,share=…,targets=A+B,model=…,weight.TARGET=…`; those without a share divide what is left.

    `targets` are those of the service. Raises typer.BadParameter, which says what is wrong.
    """
    from routecast.models.experiments import Arm  # noqa: PLC0415 - slow to import

    written = [_written(text, targets) for text in texts]
    open_ = [arm for arm in written if arm.share is None]
    left = 1.0 - sum(arm.share or 0.0 for arm in written)
    if open_ and left <= 0:
        raise typer.BadParameter(f"--arm: nothing is left for {open_[0].name!r}: shares of the others add up to {1.0 - left:g}")
    return tuple(
        Arm(
            name=arm.name, policy=arm.policy, targets=arm.targets, weights=arm.weights,
            share=left / len(open_) if arm.share is None else arm.share,
        )
        for arm in written
    )  # fmt: skip


def _written(text: str, targets: Sequence[TargetConfig]) -> _Written:
    name, _, rest = text.partition(":")
    share, policy, weights, kept = None, "", dict[str, float](), [target.id for target in targets]
    for part in rest.split(",") if rest else ():
        key, given, value = part.partition("=")
        if key == "policy" and given:
            policy = value
        elif key == "share" and given:
            share = _number(f"share of {name!r}", value)
        elif key.startswith("weight.") and given:
            weights[key.removeprefix("weight.")] = _number(key, value)
        elif key in _BELONGS and given:
            belonging = _belonging(f"--arm {text!r}", key, value.split("+"), targets)
            kept = [name for name in kept if name in belonging]
        else:
            keys = ", ".join(f"{known}=A+B" for known in _BELONGS)
            raise typer.BadParameter(f"--arm {text!r}: {part!r} is none of policy=NAME, share=NUMBER, {keys}, weight.TARGET=NUMBER")
    if targets and not kept:
        raise typer.BadParameter(f"--arm {text!r}: no target is left for {name!r}")
    return _Written(name, share, policy, tuple(kept) if len(kept) < len(targets) else (), weights)


def _belonging(arm: str, key: str, wanted: Sequence[str], targets: Sequence[TargetConfig]) -> set[str]:
    """The targets that an arm is to have alone."""
    of = {target.id: _BELONGS[key](target) or "" for target in targets}
    if unknown := [name for name in wanted if name not in of.values()]:
        raise typer.BadParameter(f"{arm}: {key} {unknown[0]!r} is that of no target; there are {', '.join(sorted(set(of.values())))}")
    return {name for name, mine in of.items() if mine in wanted}


def rails_of(texts: Sequence[str] | None) -> dict[Rail, float]:
    """Guard rails written `NAME=LIMIT`; the usual ones where none is given, none for `none`."""
    from routecast.models.experiments import Rail  # noqa: PLC0415 - slow to import

    if not texts:
        return DEFAULT_RAILS
    found: dict[Rail, float] = {}
    for text in texts if list(texts) != ["none"] else ():
        name, _, value = text.partition("=")
        kind = next((known for known in typing.get_args(Rail) if known == name), None)
        if kind is None:
            raise typer.BadParameter(f"--guard {text!r}: give one of {', '.join(typing.get_args(Rail))} with a limit, such as errors=0.02, or none")
        found[kind] = _number(f"--guard {name}", value)
    return found


def _number(what: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{what}: {text!r} is no number") from None
