"""One call to a target, from start to end, as the application sees it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, get_args

import msgspec

from routecast.analytics.routing.rate_limits import UNRESERVED
from routecast.models.decision import Decision
from routecast.models.decision_ref import CallRef
from routecast.models.events import Completed, DecisionRef, Limits, Outcome
from routecast.models.limits import plain_number, read_limits

if TYPE_CHECKING:
    from routecast.streams.router import Router

_OUTCOMES = frozenset(get_args(Outcome))
_TOO_MANY_REQUESTS = 429


class Call:
    """A call that has been started; reports its end exactly once, whatever is called afterwards."""

    __slots__ = (
        "_cost_usd", "_done", "_http_status", "_input_tokens", "_output_tokens", "_owner", "_quality", "_ref", "_router", "_satisfaction", "_ttft_ms",
        "attempt", "completed_at_ms", "decision", "index", "limits", "on_first_chunk", "overdue", "refused", "request_id", "reserved",
        "retry_after_ms", "started_at_ms", "started_s",
        "timeout_ms",
    )  # fmt: skip

    def __init__(
        self, router: Router, decision: Decision, index: int, request_id: str, attempt: int, at_ms: float, monotonic_s: float, ref: DecisionRef
    ) -> None:
        self._router = router
        self.decision = decision
        self.index = index
        self.request_id = request_id
        self.attempt = attempt
        self.started_at_ms = at_ms
        self.started_s = monotonic_s
        self.completed_at_ms = 0.0
        self.limits: Limits | None = None
        """What the provider's headers said of its rate limits."""
        self.retry_after_ms: float | None = None
        self.refused = False
        """Whether a refusal (429) was noted before the end."""
        self.reserved = UNRESERVED
        """What it took of its target's rate limits."""
        self.timeout_ms: float | None = None
        """What `Router.call` allows this attempt; hand it to the client where nothing can interrupt it."""
        self.on_first_chunk: Callable[[], object] | None = None
        self.overdue = False
        """Open for so long that its target was blamed for it already."""
        self._ref = ref
        self._done = False
        self._owner = router.emitter.name
        self._http_status: int | None = None
        self._ttft_ms: float | None = None
        self._input_tokens: int | None = None
        self._output_tokens: int | None = None
        self._cost_usd: float | None = None
        self._quality: float | None = None
        self._satisfaction: float | None = None

    def headers(self, headers: object, *, status: int | None = None) -> None:
        """Read what the headers of the answer say of rate limits, as soon as they are here; the next decision follows.

        `headers`: a mapping (`response.headers` of httpx, requests, aiohttp) or pairs. `status` is the HTTP status; 429 keeps this router
        from the target until Retry-After. What cannot be read is passed over. Never raises.
        """
        router = self._router
        if self._done or self._owner != router.emitter.name:
            return
        now_ms = router.clock.now_ms()
        said = read_limits(headers, now_ms)
        refused = status == _TOO_MANY_REQUESTS and not self.refused
        with router.overlaying():
            router.limiting.told(self, said, now_ms, refused=refused)
        self.refused |= refused
        self._http_status = status
        if said.retry_after_ms is not None:
            self.retry_after_ms = said.retry_after_ms

    @property
    def used_tokens(self) -> float | None:
        """Tokens that went in and came out, as far as they were noted as numbers; None where none were."""
        noted = [n for n in (plain_number(self._input_tokens), plain_number(self._output_tokens)) if n is not None]
        return sum(noted) if noted else None

    def first_chunk(self, after_ms: float | None = None) -> None:
        """Note that the first chunk of the answer is here, or came `after_ms` after the start. The first note counts."""
        if self._ttft_ms is None:
            self._ttft_ms = max(0.0, (self._router.clock.monotonic_s() - self.started_s) * 1000.0) if after_ms is None else after_ms
            if self.on_first_chunk is not None:
                self.on_first_chunk()

    def tokens(self, *, input: int | None = None, output: int | None = None) -> None:  # noqa: A002 - the field's word
        """Note how many tokens went in and came out."""
        if input is not None:
            self._input_tokens = input
        if output is not None:
            self._output_tokens = output

    def cost(self, usd: float) -> None:
        """Note what the call cost, USD."""
        self._cost_usd = usd

    def quality(self, quality: float) -> None:
        """Note the quality of the answer, 0..1; for later feedback keep `ref`."""
        self._quality = quality

    def satisfaction(self, satisfaction: float) -> None:
        """Note the user's satisfaction, 0..1."""
        self._satisfaction = satisfaction

    def beaten(self) -> None:
        """Note that a second attempt of the same request, beside this one, was faster: what comes of this one is no answer."""
        self._ref = msgspec.structs.replace(self._ref, hedge=True)

    @property
    def done(self) -> bool:
        """Whether the end was reported."""
        return self._done

    @property
    def answering(self) -> bool:
        """Whether its first chunk has come."""
        return self._ttft_ms is not None

    @property
    def ref(self) -> str:
        """Opaque reference for `Emitter.feedback`; valid once the call has ended."""
        arm = self._ref.arm if self.attempt == 1 else ""
        return msgspec.json.encode(CallRef(self.request_id, self.decision.target, self.completed_at_ms, arm)).decode()

    def finish(self, outcome: Outcome = "ok", *, error_type: str = "", http_status: int | None = None) -> None:
        """Report the end. The first end counts; later ones do nothing, nor does a forked child that inherited the call. Never raises.

        An `outcome` that does not exist counts as `error`.
        """
        router, decision = self._router, self.decision
        emitter = router.emitter
        if self._done or self._owner != emitter.name:
            return
        self._done = True
        if not isinstance(outcome, str) or outcome not in _OUTCOMES:
            emitter.complain(f"was given the outcome {outcome!r:.80}, which counts as an error: give one of {sorted(_OUTCOMES)}")
            outcome = "error"
        duration_ms = max(0.0, (router.clock.monotonic_s() - self.started_s) * 1000.0)
        self.completed_at_ms = self.started_at_ms + duration_ms
        event = Completed(
            at_ms=self.completed_at_ms, emitter=emitter.name, request_id=self.request_id, attempt=self.attempt, target=decision.target,
            service=decision.service, caller_region=decision.caller_region, started_at_ms=self.started_at_ms, duration_ms=duration_ms, outcome=outcome,
            ttft_ms=self._ttft_ms, error_type=error_type, http_status=self._http_status if http_status is None else http_status,
            retry_after_ms=self.retry_after_ms, input_tokens=self._input_tokens,
            output_tokens=self._output_tokens, cost_usd=self._cost_usd, quality=self._quality, satisfaction=self._satisfaction,
            limits=self.limits, decision=self._ref,
        )  # fmt: skip
        router.ended(self, outcome, duration_ms, error_type)
        emitter.emit(event)


class Track:
    """Reports the end of a call however the block is left: normally `ok`, by timeout, by cancellation, or `error`.

    A time limit belongs inside the block: `asyncio.timeout` around it cancels the block, and that is what is reported.
    """

    __slots__ = ("_call", "_decision", "_router")

    def __init__(self, router: Router, decision: Decision) -> None:
        self._router = router
        self._decision = decision
        self._call: Call | None = None

    def __enter__(self) -> Call:
        self._call = self._router.start(self._decision)
        return self._call

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._call is not None:
            outcome = _outcome(kind)
            refused = self._call.refused and outcome in {"ok", "error"}
            self._call.finish("rate_limited" if refused else outcome, error_type=_error_type(kind))

    async def __aenter__(self) -> Call:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.__exit__(kind, error, trace)


def _outcome(kind: type[BaseException] | None) -> Outcome:
    if kind is None:
        return "ok"
    if issubclass(kind, TimeoutError):
        return "timeout"
    return "error" if issubclass(kind, Exception) else "cancelled"


def _error_type(kind: type[BaseException] | None) -> str:
    if kind is None or not issubclass(kind, Exception):
        return ""
    if issubclass(kind, TimeoutError):
        return "timeout"
    return "connection" if issubclass(kind, ConnectionError) else "_OTHER"
