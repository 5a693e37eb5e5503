from __future__ import annotations

import numpy as np

from routecast import Config
from routecast.analytics.checkpoint import pack, unpack
from routecast.analytics.insights.insights import Insights
from routecast.analytics.insights.roster import Roster
from routecast.analytics.windows.period import Period
from routecast.models.insights import Subject, Trends

T = 1_700_000_040_000.0
CONFIG = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})
SUBJECTS = (Subject(kind="target", id="a", provider="p", model="m", service="chat"), Subject(kind="service", id="chat", service="chat"))


def _minute(number: int) -> Period:
    """Answers take longer and longer; nothing fails."""
    counts, nothing = np.full(2, 100.0), np.zeros(2)
    return Period(
        start_ms=T + number * 60_000, end_ms=T + (number + 1) * 60_000, subjects=SUBJECTS, ok=counts, error=nothing, timeout=nothing, rate_limited=nothing,
        requests=counts, slow=nothing, duration_n=counts, duration_ms=counts * (500.0 + 5.0 * number), ttft_n=nothing, ttft_ms=nothing, tpot_n=nothing,
        tpot_ms=nothing, quality_n=nothing, quality_sum=nothing, cost_usd=nothing,
    )  # fmt: skip


def test_words_of_the_last_analysis_are_kept_for_details_and_outlive_a_leader() -> None:
    """By subject and metric, as published, without what is unknown; whoever takes over knows them."""
    insights = Insights(CONFIG, Roster(CONFIG))
    said = [insight for number in range(62) for insight in insights.tick(T + (number + 1) * 60_000 + 1000, [], _minute(number), {"a": "ok"})]
    newest = [insight for insight in said if isinstance(insight, Trends)][-1]
    assert insights.trends["target/a"]["response_time"] == "declining"
    assert insights.trends == {
        subject.key: {trend.metric: trend.trend for trend in newest.trends if trend.subject == subject and trend.trend != "unknown"} for subject in SUBJECTS
    }
    successor = Insights(CONFIG, Roster(CONFIG))
    successor.resume(unpack(pack(insights.state())))
    assert successor.trends == insights.trends
