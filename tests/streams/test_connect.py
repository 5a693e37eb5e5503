from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from routecast import Config, ConfigError, Emitter, Router

QUICK = {"intervals": {"snapshot_ms": 200, "metrics_ms": 1000}}


def _config(*names: str) -> Config:
    return Config.model_validate({"target": [{"id": name, "provider": "p", "model": "m", "service": "chat"} for name in names]} | QUICK)


async def _until(true: Callable[[], bool]) -> None:
    """Wait for the background thread, at most 10 s."""
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within 10 s")


def test_a_router_connects_asynchronously_and_has_a_snapshot() -> None:
    """What it reports comes back in the figures."""

    async def main() -> None:
        async with Router.connect("memory://async", _config("a", "b")) as router:
            assert router.snapshot is not None
            for _ in range(20):
                async with router.track(router.choose()):
                    pass
            await _until(lambda: (system := router.system()) is not None and system.requests_total == 20)
            service = router.service("chat")
            assert service is not None
            assert service.outcomes_total.ok == 20

    asyncio.run(main())


def test_routers_of_one_name_share_a_log() -> None:
    """One reports, the other learns of it."""
    config = _config("a", "b")
    with Router.connect_sync("memory://shared", config) as one, Router.connect_sync("memory://shared", config) as other:
        for _ in range(10):
            with one.track(one.choose()):
                pass
        asyncio.run(_until(lambda: (system := other.system()) is not None and system.requests_total == 10))
        asyncio.run(_until(lambda: other.snapshot is not None and other.snapshot.routers == 2))


def test_another_configuration_under_the_same_name_is_refused() -> None:
    """Two truths on one log would be none."""
    with (
        Router.connect_sync("memory://once", _config("a")),
        pytest.raises(ConfigError, match="another configuration"),
        Router.connect_sync("memory://once", _config("b")),
    ):
        pass
    with Router.connect_sync("memory://once", _config("b")) as router:
        assert router.choose().target == "b"


def test_an_emitter_connects_without_a_router() -> None:
    """Closing delivers; closing twice is harmless."""
    config = _config("a")
    with Router.connect_sync("memory://emitter", config) as router:
        emitter = Emitter.connect("memory://emitter", config)
        emitter.completed("x", "a", "ok", 12.0, service="chat")
        assert emitter.close()
        assert emitter.close()
        asyncio.run(_until(lambda: (system := router.system()) is not None and system.requests_total == 1))


@pytest.mark.parametrize("url", ["http://localhost:9092", "localhost", "", "kafka://"])
def test_a_log_that_cannot_be_opened_is_named(url: str) -> None:
    """With what can be given instead."""
    with pytest.raises(ConfigError, match="memory://"):
        Router.connect(url, _config("a"))


def test_a_service_must_be_named_where_there_are_several() -> None:
    """And the error lists them."""
    two = Config.model_validate({"target": [{"id": s, "provider": "p", "model": "m", "service": s} for s in ("chat", "mail")]})
    with pytest.raises(ConfigError, match=r"\['chat', 'mail'\]"):
        Router.connect_sync("memory://two", two)
