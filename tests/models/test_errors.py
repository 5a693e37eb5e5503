from __future__ import annotations

import pytest

import routecast
from routecast.models import errors
from routecast.models.errors import EXCLUDED, CallFailed, ConfigError, DecodeError, NoTarget, QueueFull, RoutecastError, StaleSnapshot


def test_every_error_has_the_one_root_and_is_public() -> None:
    """One `except` catches all that this library raises on purpose; the module's text lists them all.

    `CallFailed` is the one that is imported from its module: the facade has no room for more names.
    """
    found = {name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, Exception)}
    assert found == {
        "RoutecastError", "CallFailed", "CheckFailed", "ConfigError", "DecodeError", "Unreachable", "NoTarget", "StaleSnapshot", "QueueFull"
    }  # fmt: skip
    assert all(issubclass(getattr(errors, name), RoutecastError) for name in found)
    assert found - {"CallFailed"} <= set(routecast.__all__)
    assert all(name in (errors.__doc__ or "") for name in found)


def test_no_target_says_why_for_every_target() -> None:
    """Names are quoted, the next action is in the sentence, and the reasons can be read by a program."""
    reasons = {"a": "open", "b": "excluded by the caller"}
    error = NoTarget("chat", reasons)
    assert str(error) == "no target of service 'chat' meets the requirements ('a': open; 'b': excluded by the caller): relax them or drop strict=True"
    assert (error.service, error.reasons) == ("chat", reasons)
    reasons.clear()
    assert error.reasons


def test_no_target_where_all_are_excluded_says_what_helps() -> None:
    """Dropping `strict` would not."""
    assert str(NoTarget("chat", {"a": EXCLUDED, "b": EXCLUDED})).endswith("exclude fewer")


def test_no_target_without_targets_says_so() -> None:
    """There is nothing to relax."""
    assert "the service has no targets" in str(NoTarget("chat", {}))


def test_a_stale_snapshot_says_how_old_it_is() -> None:
    """With units, and what to look at."""
    error = StaleSnapshot("chat", 12_345.6, 2000.0)
    assert (error.service, error.age_ms, error.allowed_ms) == ("chat", 12_345.6, 2000.0)
    assert all(word in str(error) for word in ("'chat'", "12346 ms", "2000 ms", "check that a worker is running"))


def test_a_failed_call_says_why_it_was_given_up_and_what_was_tried() -> None:
    """Without attempts too; the attempts can be read by a program."""
    error = CallFailed("chat", "deadline", ())
    assert (error.service, error.why, error.attempts, error.answer) == ("chat", "deadline", (), None)
    assert str(error) == ("no answer from service 'chat' (no attempt was made): the deadline has passed: give more time or ask for fewer tokens")


def test_a_full_queue_says_when_to_come_again() -> None:
    """As a number and in words."""
    error = QueueFull("chat", 250.0)
    assert (error.service, error.retry_after_ms) == ("chat", 250.0)
    assert all(word in str(error) for word in ("'chat'", "250 ms", "lower the load"))


@pytest.mark.parametrize("error", [ConfigError("x"), DecodeError("y")])
def test_plain_errors_carry_their_text(error: RoutecastError) -> None:
    """Nothing is added."""
    assert str(error) in {"x", "y"}
