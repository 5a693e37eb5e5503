"""The leader's checkpoint (topic `routecast.state`, key `checkpoint`): its analytic state at a tick, for the next leader and for replay."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from routecast.analytics.checkpoint import pack, unpack
from routecast.analytics.fleet.orders import Orders
from routecast.models.errors import DecodeError


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """All that does not follow from merged rows and configuration."""

    term: int
    seq: int
    at_ms: float
    config_version: str
    offsets: dict[int, int]
    """Per partition of the events, the last offset that the snapshot of this tick contains."""
    control: int
    trips: int = -1
    """Last offset of the trips that had been applied."""
    drained: list[str]
    weights: dict[str, float]
    policies: dict[str, str] = {}
    """By service; "" stands for all."""
    elected: dict[str, tuple[str, str]] = {}
    """By service, what `auto` follows and why."""
    experiments: dict[str, Any] = {}
    details_ms: float
    fresh: bool = False
    """Whether nothing was made yet of the windows that end then."""
    quantiles: dict[str, tuple[tuple[float, ...], tuple[float, ...]]]
    services: dict[str, dict[str, Any]]
    insights: dict[str, Any] = {}
    advice: dict[str, Any] = {}
    """What was recommended: it comes from processes beside the leader, and so does not follow from the log."""

    @property
    def orders(self) -> Orders:
        """What operators want."""
        return Orders(self.drained, self.weights, self.policies, self.elected)

    def encode(self) -> bytes:
        """Compressed MessagePack."""
        return pack({name: getattr(self, name) for name in self.__struct_fields__})

    def verifiable(self) -> bytes:
        """The same without what does not follow from the log."""
        return replace(self, advice={}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Checkpoint:
        """The checkpoint of a record.

        Raises DecodeError when it is none.
        """
        try:
            return msgspec.convert(unpack(data), cls)
        except msgspec.ValidationError as error:
            raise DecodeError(f"not a checkpoint: {error}") from error
