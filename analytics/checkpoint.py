"""Analytic state as plain data and back, so that a new leader continues where the last one was.

A part names the attributes that make up its state in `STATE`; everything else of it follows from the configuration. Arrays keep
their exact bits.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import msgspec
import numpy as np

from routecast.models.errors import DecodeError

State = Mapping[str, Any]

_ARRAY = 1
_MOST_BYTES = 1 << 30
_DTYPES = frozenset({"<f8", "<i8", "<i4", "<i2", "|u1"})


class Stateful(Protocol):
    """A part with state."""

    STATE: ClassVar[tuple[str, ...]]


def state_of(part: Stateful) -> dict[str, Any]:
    """The state of a part, by attribute."""
    return {name: getattr(part, name) for name in part.STATE}


def restore(part: Stateful, state: State) -> None:
    """Give a part this state.

    Raises DecodeError where something is missing or of another kind than the part has now.
    """
    for name in part.STATE:
        now, then = getattr(part, name), state.get(name)
        if isinstance(now, np.ndarray):
            fits = isinstance(then, np.ndarray) and then.dtype == now.dtype and then.shape[1:] == now.shape[1:]
        else:
            fits = isinstance(then, type(now)) or (isinstance(now, float) and isinstance(then, int))
        if not fits:
            raise DecodeError(f"checkpoint: {type(part).__name__}.{name} is missing or of another kind")
    for name in part.STATE:
        setattr(part, name, state[name])


def pack(state: object) -> bytes:
    """Compressed MessagePack of states."""
    return zlib.compress(msgspec.msgpack.encode(state, enc_hook=_from_array), 1)


def unpack(data: bytes) -> Any:
    """What was packed.

    Raises DecodeError when the bytes are something else.
    """
    try:
        inflater = zlib.decompressobj()
        raw = inflater.decompress(data, _MOST_BYTES)
        if not inflater.eof:
            raise DecodeError("checkpoint is cut short, or larger than a gigabyte")
        return msgspec.msgpack.decode(raw, ext_hook=_to_array)
    except (zlib.error, msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise DecodeError(f"not a checkpoint: {error}") from error


def _from_array(value: object) -> object:
    if isinstance(value, np.ndarray):
        return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode((value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes())))
    if isinstance(value, np.integer | np.floating | np.bool_):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no state")


def _to_array(code: int, data: memoryview) -> object:
    dtype, shape, raw = msgspec.msgpack.decode(data, type=tuple[str, tuple[int, ...], bytes])
    if code != _ARRAY or dtype not in _DTYPES:
        raise ValueError(f"extension {code} of kind {dtype!r} is unknown")
    return np.frombuffer(raw, dtype).reshape(shape).copy()
