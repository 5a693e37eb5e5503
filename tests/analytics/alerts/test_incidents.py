from __future__ import annotations

from routecast.analytics.alerts.incidents import Active, Incidents, explained
from routecast.models.insights import Subject
from routecast.models.severity import AlertKind

MINUTE = 60_000.0
MEDIUM, CRITICAL = 1, 3


def target(name: str, *, kind: AlertKind = "error_rate", severity: int = CRITICAL, at: float = 0.0, service: str = "chat") -> Active:
    """An alert of a target, in an incident of its own."""
    return _alert(Subject(kind="target", id=name, service=service), kind, severity, at)


def service(name: str = "chat", *, kind: AlertKind = "error_rate", severity: int = CRITICAL, at: float = 0.0) -> Active:
    """An alert of a service, in an incident of its own."""
    return _alert(Subject(kind="service", id=name, service=name), kind, severity, at)


def system(severity: int = CRITICAL, at: float = 0.0) -> Active:
    """An alert of the system, in an incident of its own."""
    return _alert(Subject(kind="system", id="system"), "error_rate", severity, at)


def _alert(subject: Subject, kind: AlertKind, severity: int, at: float) -> Active:
    name = f"{subject.id} {kind}"
    return Active(name, 0, name, kind, 0, subject, 0, severity, at * MINUTE)


def test_one_target_explains_its_service_and_the_system() -> None:
    """The end of the chain is what is said."""
    found = explained([target("a"), service(), system()], {"chat": 4})
    assert found == {"chat error_rate": "a error_rate", "system error_rate": "a error_rate"}


def test_half_of_the_targets_are_the_services_trouble() -> None:
    """Two of four, or the only one; not one of two."""
    assert explained([target("a"), target("b"), service()], {"chat": 4}) == dict.fromkeys(["a error_rate", "b error_rate"], "chat error_rate")
    assert explained([target("a"), service()], {"chat": 1}) == {"a error_rate": "chat error_rate"}
    assert explained([target("a"), service()], {"chat": 2}) == {"chat error_rate": "a error_rate"}


def test_a_service_that_fails_explains_everything_of_its_targets() -> None:
    """Their slowness too; not those of another service."""
    found = explained([target("a"), target("b"), target("c", kind="quality"), target("x", kind="quality", service="other"), service()], {"chat": 3, "other": 1})
    assert set(found) == {"a error_rate", "b error_rate", "c quality"}


def test_failures_explain_what_else_is_wrong_with_a_target_and_warnings_do_not() -> None:
    """A few failures do not make answers slow."""
    slow = target("a", kind="response_time")
    assert explained([target("a"), slow], {"chat": 4}) == {"a response_time": "a error_rate"}
    assert explained([target("a", severity=MEDIUM), slow], {"chat": 4}) == {}


def test_nobody_is_explained_by_what_is_less_severe() -> None:
    """A service in flames is not explained by a target with a cold."""
    assert explained([target("a", severity=MEDIUM), service()], {"chat": 4}) == {}


def test_new_alerts_belong_to_what_they_are_about() -> None:
    """The same target, its service, the system."""
    incidents = Incidents([target("a")])
    assert incidents.of(target("a", kind="quality", at=60)) == "a error_rate"
    assert incidents.of(service(at=60)) == "a error_rate"
    assert incidents.of(system(at=60)) == "a error_rate"
    assert incidents.of(service("other", at=60)) == "other error_rate"


def test_targets_that_begin_to_fail_together_are_one_incident() -> None:
    """Each within five minutes of the one before; others are news."""
    incidents = Incidents([target("a")])
    second = target("b", at=4)
    second.incident = incidents.of(second)
    incidents.add(second)
    assert incidents.of(target("c", at=8)) == "a error_rate"
    assert incidents.of(target("d", at=10)) == "d error_rate"
    assert incidents.of(target("x", at=1, service="other")) == "x error_rate"


def test_a_target_belongs_to_the_trouble_of_its_service_unless_another_one_explains_it() -> None:
    """A second failure is news while the first is what the service suffers from."""
    whole = service()
    assert Incidents([whole]).of(target("b", at=60)) == "chat error_rate"
    whole.inhibited_by = "a error_rate"
    assert Incidents([whole]).of(target("b", at=60)) == "b error_rate"
