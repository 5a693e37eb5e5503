"""What was fitted and found, as the report tells it."""

from __future__ import annotations

import math

import numpy as np

from routecast.analytics.backtest.fitted import Fits, Fitted
from routecast.analytics.backtest.request_log import RecordedTraffic, RequestLog
from routecast.analytics.backtest.scene import Scene, SceneTarget
from routecast.analytics.capacity.attempts import OTHER
from routecast.models.backtest import FittedTarget, Quality, SpellRow


def fitted_targets(fits: Fits, scene: Scene) -> tuple[FittedTarget, ...]:
    """The targets as the scene plays them."""
    return tuple(target_row(target, scene, answers=one.fit.n, streamed=one.first_chunk is not None) for one, target in _pairs(fits, scene))


def _pairs(fits: Fits, scene: Scene) -> zip[tuple[Fitted, SceneTarget]]:
    return zip(fits.targets, scene.targets, strict=True)


def target_row(target: SceneTarget, scene: Scene, *, answers: int, streamed: bool) -> FittedTarget:
    """One of them, on the requests of the scene."""
    alone_ms, tokens = float(target.alone_ms.mean()), float(scene.requests.output_tokens.mean())
    ttft_ms = float((target.alone_ms * target.ttft_share).mean()) if streamed else None
    usd = float(target.usd.mean())
    return FittedTarget(
        target=target.id, answers=answers, slots=None if target.law.slots == math.inf else target.law.slots, slowing=target.law.slope, knee=target.law.knee,
        alone_ms=alone_ms, ttft_ms=ttft_ms, tpot_ms=(alone_ms - ttft_ms) / (tokens - 1) if ttft_ms is not None and tokens > 1 else None,
        fail_ratio=target.fail_ratio, requests_per_min=None if target.requests_per_s is None else target.requests_per_s * 60.0,
        usd_per_request=None if math.isnan(usd) else usd, quality=target.quality,
    )  # fmt: skip


def spell_rows(scene: Scene) -> tuple[SpellRow, ...]:
    """Every spell within the requests, in order of time."""
    end_ms = float(scene.requests.at_ms[-1])
    rows = [
        SpellRow(
            target=target.id, kind=spell.kind, from_s=max(0.0, spell.from_ms) / 1000.0, until_s=min(spell.until_ms, end_ms) / 1000.0, level=spell.level,
            attempts=spell.n,
        )
        for target in scene.targets
        for spell in target.spells
        if spell.until_ms > 0 and spell.from_ms < end_ms
    ]  # fmt: skip
    return tuple(sorted(rows, key=lambda row: row.from_s))


def data_quality(log: RequestLog, traffic: RecordedTraffic, fits: Fits, bad: int, *, configured: bool) -> tuple[Quality, ...]:
    """What of the recording could not be used, or had to be filled in; what is as it should be is left out."""
    attempts = traffic.attempts
    first = attempts.first
    unknown_tokens = int((~np.isfinite(attempts.output_tokens[first])).sum())
    found = [
        Quality(what="events that could not be read", count=bad, meaning="they are left out"),
        Quality(what="attempts without an end", count=log.unended, meaning="they are left out: recorded too early, or lost"),
        Quality(what="ends that came twice", count=log.twice, meaning="the first one counts"),
        Quality(what="attempts beyond what is kept", count=log.left_out, meaning="they are left out: play a shorter recording"),
        Quality(what="attempts that tell nothing of their target", count=int((attempts.end == OTHER).sum()), meaning="cancelled, or the caller's own faults"),
        Quality(what="arrivals without output tokens", count=unknown_tokens, meaning="they get those of other requests"),
        Quality(what="targets with too few answers", count=len(fits.unknown), meaning=f"left out: {', '.join(fits.unknown)}"),
        Quality(what="targets whose answers did not stream", count=sum(one.first_chunk is None for one in fits.targets), meaning="no time to first chunk"),
        Quality(what="targets without a judgement of quality", count=sum(one.quality is None for one in fits.targets), meaning="quality is not compared"),
        Quality(what="no configuration in the recording", count=int(not configured), meaning="defaults stand for it: give --config"),
    ]
    return tuple(it for it in found if it.count)
