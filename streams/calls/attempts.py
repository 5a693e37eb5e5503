"""A request on its way: what was tried, what is left of its time, and what comes next. No I/O and no waiting: those who drive it do that."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypedDict, TypeVar

from msgspec.structs import replace

from routecast.analytics.routing.candidates import expected_output
from routecast.analytics.routing.patience import attempt_ms, least_ms, serves, slow_answer_ms
from routecast.analytics.routing.verdict import cause_of, headers_of, of_answer, of_error
from routecast.analytics.routing.waiting import Waiting
from routecast.models.attempts import Answer, Attempt, Verdict
from routecast.models.decision import Decision
from routecast.models.errors import CallFailed, NoTarget, QueueFull, Why
from routecast.models.requirements import NONE, Requirements
from routecast.streams.calls.call import Call

if TYPE_CHECKING:
    from routecast.streams.calls.calling import Caller

Value = TypeVar("Value")

_PART, _PART_WAITED = 0.5, 1.0
"""Part of the spare time for an attempt; all of it in overload, where an answer that is cut off has cost a place and waits for another."""
_LOOKED_AT = 64
"""Targets among which the next one is looked for when the time is divided."""

Classify = Callable[[object], Verdict | None]
"""What `send` returned, or the exception it raised → what it counts as; None: as usual."""


class Options(TypedDict, total=False):
    """What may be said of one request beside its requirements."""

    deadline_ms: float
    """Time for everything, waiting and all attempts; the configured one where absent."""
    attempts: int
    """Calls to targets at most; the configured number where absent."""
    request_id: str
    session: str
    """What the request belongs to, for experiments that assign sessions: all of its requests get one arm."""
    stream: bool
    input_tokens: int
    max_output_tokens: int
    classify: Classify
    hedge: bool
    """Overrides `routing.hedging.enabled`."""


_OPTIONS = frozenset(Options.__annotations__)


class Ended(NamedTuple, Generic[Value]):
    """What `send` returned or raised."""

    value: Value | None
    error: Exception | None


class Request:
    """One request of the application, from the first choice to the answer or the last failure.

    Raises TypeError for an option that does not exist: one that is silently ignored is worse than an error.
    """

    def __init__(self, caller: Caller, requirements: Requirements | None, options: Options, number: int) -> None:
        if unknown := options.keys() - _OPTIONS:
            raise TypeError(f"there is no option {min(unknown)!r}: choose among {', '.join(sorted(_OPTIONS))}")
        router, routing = caller.router, caller.routing
        self._caller = caller
        self._router = router
        self._options = options
        self._classify = options.get("classify")
        self._most = options.get("attempts", routing.call.attempts)
        self.hedged = options.get("hedge", routing.hedging.enabled)
        self.requirements = requirements or NONE
        self.request_id = options.get("request_id") or router.emitter.request_id()
        self._session = options.get("session", "")
        self.tried: list[str] = []
        self.attempts: list[Attempt] = []
        self._begun = 0
        self._begun_s = router.clock.monotonic_s()
        self._whole_ms = options.get("deadline_ms", routing.call.deadline_ms)
        self._until_s = self._begun_s + self._whole_ms / 1000.0
        self._last: Ended[Any] = Ended(None, None)
        self.waited = False
        """Whether it stood in line for the attempt that is next."""
        self.calm = True
        """Whether it may begin wherever the service is not busy, though the router's quota is used up."""
        self._waited_s = 0.0
        self._output_tokens = min(expected_output(router.snapshot, self.requirements), options.get("max_output_tokens", 1e9))
        self.waiting = Waiting(self.requirements.urgency, self._until_s, number, self.requirements.key)

    @cached_property
    def least_s(self) -> float:
        """What an answer takes of its time, seconds: with less left it need not wait. 0 where nothing was measured."""
        found = self._router.considered(self.requirements)
        return least_ms([found.view.entries[i] for i in found.table.index], self._output_tokens, self._whole_ms) / 1000.0

    @property
    def left_s(self) -> float:
        """What is left of its time, seconds; negative when it has passed."""
        return self._until_s - self._router.clock.monotonic_s()

    @property
    def tokens(self) -> float:
        """Tokens it is expected to cost, at least 1."""
        snapshot = self._router.snapshot
        return max(1.0, self._output_tokens + self._options.get("input_tokens", snapshot.input_tokens if snapshot else 0.0))

    def begin(self) -> Call:
        """Choose a target and start a call to it. Raises NoTarget, or CallFailed where an attempt was made before."""
        if self.waited and not self._begun:
            self._waited_s = self._router.clock.monotonic_s() - self._begun_s
        if self.left_s <= 0:
            raise self.failed("deadline") from self.cause
        try:
            decision = self._router.choose(self.requirements, tried=self.tried, request_id=self.request_id, session=self._session)
        except NoTarget:
            if not self.attempts:
                raise
            raise self.failed("no_target") from self.cause
        call = self.start(decision, self._time_for(decision))
        self.waited, self.calm = False, True
        return call

    def start(self, decision: Decision, timeout_ms: float) -> Call:
        """Start a call of this request, with a number of its own."""
        self._begun += 1
        options = self._options
        deadline_ms = None if self._is_short(decision, timeout_ms) else timeout_ms
        call = self._router.start(
            decision, request_id=self.request_id, attempt=self._begun, deadline_ms=deadline_ms, stream=options.get("stream", False),
            input_tokens=options.get("input_tokens"), max_output_tokens=options.get("max_output_tokens"), urgency=self.requirements.urgency,
        )  # fmt: skip
        call.timeout_ms = timeout_ms
        return call

    def _is_short(self, decision: Decision, timeout_ms: float) -> bool:
        """Whether waiting or failed attempts have left too little for a slow answer: that it does not come says nothing of the target."""
        slow_ms = slow_answer_ms(decision.entry, self._output_tokens)
        return timeout_ms < slow_ms <= self._whole_ms

    def _time_for(self, decision: Decision) -> float:
        left_ms = self.left_s * 1000.0
        if len(self.attempts) + 1 >= self._most or not self._caller.may_retry():
            return left_ms
        view = self._router.considered(self.requirements, self.tried).view
        gone = {*self.tried, decision.target}
        others = [entry for entry in islice(view.entries, _LOOKED_AT) if serves(entry) and entry.id not in gone]
        return attempt_ms(left_ms, decision.entry, others, self._output_tokens, _PART_WAITED if self.waited else _PART)

    def _judge(self, ended: Ended[Any]) -> Verdict:
        thing: object = ended.value if ended.error is None else ended.error
        verdict = self._classify(thing) if self._classify is not None else None
        if verdict is not None:
            return verdict
        return of_answer(thing) if ended.error is None else of_error(ended.error)

    def succeeds(self, ended: Ended[Any]) -> bool:
        """Whether this end of an attempt is an answer."""
        return self._judge(ended).outcome == "ok"

    def note(self, call: Call, ended: Ended[Any]) -> Verdict:
        """Report the end of an attempt and keep what it came to."""
        verdict = self._judge(ended)
        refused = verdict.outcome == "rate_limited"
        headers = headers_of(ended.value if ended.error is None else ended.error)
        if headers is not None or refused:
            call.headers(headers or {}, status=429 if refused else verdict.http_status)
        cause = cause_of(verdict, ended.error)
        if verdict.outcome == "timeout" and self._is_short(call.decision, call.timeout_ms or 0.0):
            verdict, cause = Verdict("cancelled"), "too little time was left for a slow answer"
        call.finish(verdict.outcome, error_type=verdict.error_type, http_status=verdict.http_status)
        self._keep(call, verdict, ended.error, cause)
        self._last = ended
        return verdict

    def lose(self, call: Call) -> None:
        """Report an attempt that another one of this request has beaten."""
        call.beaten()
        call.finish("cancelled")
        self._keep(call, Verdict("cancelled"), None, "another attempt was faster")

    def _keep(self, call: Call, verdict: Verdict, error: Exception | None, cause: str) -> None:
        decision = call.decision
        duration_ms = max(0.0, call.completed_at_ms - call.started_at_ms)
        self.attempts.append(Attempt(call.attempt, decision, verdict.outcome, duration_ms, cause, verdict.error_type, verdict.http_status, error))
        if verdict.outcome != "ok":
            self.tried.append(decision.target)
            self.waiting.kind = (self.requirements.key, frozenset(self.tried))

    def settle(self, call: Call, ended: Ended[Value]) -> Answer[Value] | None:
        """The answer, or None where another target is to be asked. Raises CallFailed when that would be of no use, and what `classify` raises."""
        try:
            verdict = self.note(call, ended)
        finally:
            call.finish("cancelled")  # what raises must not leave a call open
        if verdict.outcome == "ok":
            return Answer(ended.value, tuple(self.attempts), self.request_id, call.ref, self._waited_s * 1000.0)  # type: ignore[arg-type]
        why = self._given_up(verdict)
        if why is not None:
            raise self.failed(why) from ended.error
        return None

    def _given_up(self, verdict: Verdict) -> Why | None:
        if not verdict.retry:
            return "caller_fault"
        if sum(not attempt.decision.hedge and attempt.outcome != "cancelled" for attempt in self.attempts) >= self._most:
            return "attempts"
        if self.left_s <= 0:
            return "deadline"
        return None if self._caller.pay_retry() else "retry_budget"

    def refused(self, error: QueueFull) -> CallFailed | QueueFull:
        """What to raise where the waiting queue refused it: after an attempt, what became of that."""
        return self.failed("overload") if self.attempts else error

    def failed(self, why: Why) -> CallFailed:
        """The error of this request as it stands; raise it from `cause`."""
        return CallFailed(self._router.name_of_service, why, self.attempts, self._last.value)

    @property
    def cause(self) -> Exception | None:
        """What the last attempt raised."""
        return self._last.error

    def hedge_beside(self, call: Call) -> Call | None:
        """A second call beside `call`, at another provider and for what is left of its time; None where that must not be."""
        view = self._router.considered(self.requirements).view
        if any(entry.state == "open" for entry in view.entries):
            return None
        mates = [target.id for target in view.targets if target.provider == call.decision.provider]
        try:
            decision = self._router.choose(self.requirements, tried=[*self.tried, *mates], request_id=self.request_id, session=self._session)
        except NoTarget:
            return None
        if decision.provider == call.decision.provider or decision.target in self.tried or not self._caller.pay_hedge(self.tokens):
            return None
        elapsed_ms = (self._router.clock.monotonic_s() - call.started_s) * 1000.0
        return self.start(replace(decision, hedge=True), max(0.0, (call.timeout_ms or 0.0) - elapsed_ms))
