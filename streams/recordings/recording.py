"""The file of a recording: a ZIP archive of MessagePack parts, `manifest.json` last, sealed by a checksum over the whole file.

A part holds one array of records `[offset, append_ms, key, value]` of one partition. Parts are written as they fill, so memory is bounded
however long a recording is; each belongs to one partition, so a reader can take any partition from any offset on. The comment of
the archive is the SHA-256 of everything before it.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from routecast.models.errors import CheckFailed, ConfigError, DecodeError, RoutecastError
from routecast.models.manifest import FORMAT, Base, Manifest, Part, Stretch, decode_manifest
from routecast.streams.memory import Record

BASE = "base"
"""In place of a topic: rows of the fold at the cut from which the recording begins."""
PART_BYTES = 1 << 20
"""Size at which a part is written."""
_MOST_WAITING = 32 << 20
_OVERHEAD = 24
_MANIFEST = "manifest.json"
_LEVEL = 3
_SEAL = b"sha256 "
_HEX = 64
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date of the ZIP format: equal records make equal files."""

_UNREADABLE = (KeyError, OSError, ValueError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error, struct.error, msgspec.DecodeError)
"""Whatever reading a damaged archive raises."""

_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(list[Record])
_raws = msgspec.json.Decoder(list[msgspec.Raw])


class _Log:
    """What was recorded of one partition: parts that are written, records that wait for the next."""

    def __init__(self, topic: str, partition: int, first_ms: float) -> None:
        self._topic, self._partition = topic, partition
        self._first_ms = self._last_ms = first_ms
        self._parts: list[Part] = []
        self._waiting: list[Record] = []
        self.size = 0
        """Bytes that wait."""

    def add(self, record: Record, size: int) -> None:
        self._waiting.append(record)
        self.size += size

    def take(self) -> tuple[str, bytes]:
        """Name and content of the next part: everything that waits."""
        records, self._waiting, self.size = self._waiting, [], 0
        data, self._last_ms = _pack.encode(records), records[-1].append_ms
        name = f"{self._topic}/{self._partition}/{len(self._parts):06}.msgpack"
        offsets = {"first_offset": records[0].offset, "last_offset": records[-1].offset}
        self._parts.append(Part(name=name, records=len(records), size=len(data), sha256=sha256(data).hexdigest(), **offsets))
        return name, data

    def stretch(self) -> Stretch:
        return Stretch(
            topic=self._topic, partition=self._partition, records=sum(part.records for part in self._parts),
            first_offset=self._parts[0].first_offset, last_offset=self._parts[-1].last_offset,
            first_ms=self._first_ms, last_ms=self._last_ms, parts=tuple(self._parts),
        )  # fmt: skip


class _Sealed:
    """A file that is only appended to, and the digest of all but its last bytes, where the digest will stand."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha = sha256()
        self._held = b""

    def write(self, data: bytes) -> int:
        held = self._held + data
        self._sha.update(held[:-_HEX])
        self._held = held[-_HEX:]
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def seal(self) -> None:
        self._file.seek(-_HEX, 2)
        self._file.write(self._sha.hexdigest().encode())

    def close(self) -> None:
        self._file.close()


class RecordingWriter:
    """Writes a recording; `with` finishes it, whatever happened inside, and removes it where an error came before the first record.

    Memory: 32 MB and the largest record.

    Args:
        path: the file to make; it must not exist.
        prefix: of the topics that are recorded.

    Raises ConfigError where the file exists or cannot be made, RoutecastError where it cannot be written to.
    """

    def __init__(self, path: Path, prefix: str) -> None:
        self._path = path
        self._prefix = prefix
        self._logs: dict[tuple[str, int], _Log] = {}
        self._waiting = 0
        self.base: Base | None = None
        """The checkpoint from which the recording begins, where there is one."""
        self.events = 0
        """Events added."""
        self.manifest: Manifest | None = None
        """What the finished file holds."""
        try:
            self._file = _Sealed(path.open("xb"))
        except FileExistsError:
            raise ConfigError(f"{str(path)!r} exists: give another file, recordings are not overwritten") from None
        except OSError as error:
            raise ConfigError(f"{str(path)!r} cannot be made: {error.strerror}") from error
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
        if error is not None and not self.events:  # what there is beside them is of no use alone
            self._path.unlink()

    def add(self, topic: str, partition: int, record: Record) -> None:
        """Add a record; offsets of a partition rise."""
        log = self._logs.get((topic, partition))
        if log is None:
            log = self._logs[topic, partition] = _Log(topic, partition, record.append_ms)
        size = len(record.key) + len(record.value or b"") + _OVERHEAD
        log.add(record, size)
        self._waiting += size
        if topic == "events":
            self.events += _events_in(record.value)
        if log.size >= PART_BYTES:
            self._write(log)
        elif self._waiting >= _MOST_WAITING:
            self._write(max(self._logs.values(), key=lambda log: log.size))

    def _write(self, log: _Log) -> None:
        self._waiting -= log.size
        self._store(*log.take())

    def _store(self, name: str, data: bytes) -> None:
        try:
            self._zip.writestr(_member(name), data, zipfile.ZIP_DEFLATED, _LEVEL)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> RoutecastError:
        return RoutecastError(f"{str(self._path)!r} cannot be written ({error.strerror}): the recording is not complete, make room and record again")

    def close(self) -> Manifest:
        """Write what waits, the manifest and the seal; what the file holds. A second call changes nothing."""
        if self.manifest is not None:
            return self.manifest
        try:
            manifest = self._finish()
            self._file.close()  # which writes what is buffered
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            self._zip.fp = None  # or it would write to a closed file when it is let go of
            with suppress(OSError):
                self._file.close()
        self.manifest = manifest
        return manifest

    def _finish(self) -> Manifest:
        for place in sorted(self._logs):
            if self._logs[place].size:
                self._write(self._logs[place])
        manifest = Manifest(
            format=FORMAT, routecast=version("routecast"), prefix=self._prefix, base=self.base, events=self.events,
            stretches=tuple(self._logs[place].stretch() for place in sorted(self._logs)),
        )  # fmt: skip
        self._store(_MANIFEST, manifest.model_dump_json(indent=1).encode())
        self._zip.comment = _SEAL + b"0" * _HEX
        self._zip.close()
        self._file.seal()
        return manifest


class Recording:
    """A finished recording, read part by part; memory: a part of each partition that is being read.

    Raises DecodeError where the file is no recording, is not finished or belongs to another format, CheckFailed where a part is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise ConfigError(f"{str(path)!r} does not exist: give the file that `routecast record` wrote") from None
        except OSError as error:
            raise ConfigError(f"{str(path)!r} cannot be read: {error.strerror}; give the file that `routecast record` wrote") from error
        except _UNREADABLE as error:
            raise DecodeError(_not_a_recording(path)) from error
        try:
            self.manifest = decode_manifest(self._zip.read(_MANIFEST))
        except KeyError:
            raise DecodeError(f"{str(path)!r} is no recording: a ZIP file without {_MANIFEST}") from None
        except _UNREADABLE as error:
            raise self._damaged(_MANIFEST) from error
        except DecodeError as error:
            raise DecodeError(f"{str(path)!r}: {error}") from error
        if len(self._zip.comment) < len(_SEAL) + _HEX:
            raise DecodeError(_not_a_recording(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._zip.close()

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    @property
    def seal(self) -> str:
        """What tells this recording from every other: the digest it was sealed with."""
        return self._zip.comment.removeprefix(_SEAL).decode(errors="replace")

    def check(self) -> None:
        """Read the whole file and compare it with its seal. Raises CheckFailed where a single bit differs."""
        seal = self._zip.comment
        digest, left = sha256(), self._path.stat().st_size - _HEX
        with self._path.open("rb") as file:
            while left > 0 and (data := file.read(min(PART_BYTES, left))):
                digest.update(data)
                left -= len(data)
        if seal != _SEAL + digest.hexdigest().encode():
            raise CheckFailed(f"{str(self._path)!r} is not as it was written: its checksum differs; take another copy of the file")

    def partitions(self, topic: str) -> list[int]:
        """Partitions of a topic that have records."""
        return [found.partition for found in self.manifest.of(topic)]

    def records(self, topic: str, partition: int, first: int = 0) -> Iterator[Record]:
        """The records of a partition from this offset on, in their order. Raises CheckFailed at a part that is damaged."""
        for part in (part for found in self.manifest.of(topic) if found.partition == partition for part in found.parts):
            if part.last_offset >= first:
                yield from (record for record in self._read(part) if record.offset >= first)

    def _read(self, part: Part) -> list[Record]:
        try:
            data = self._zip.read(part.name)
            if sha256(data).hexdigest() == part.sha256:
                return _unpack.decode(data)
        except _UNREADABLE as error:
            raise self._damaged(part.name) from error
        raise self._damaged(part.name)

    def _damaged(self, name: str) -> CheckFailed:
        return CheckFailed(f"{str(self._path)!r} is damaged: {name} is not as it was written; take another copy of the file")


def _events_in(value: bytes | None) -> int:
    """How many events a record of the topic `events` holds, good or bad."""
    if not value or not value.lstrip().startswith(b"["):
        return 1
    try:
        return len(_raws.decode(value))
    except (msgspec.DecodeError, RecursionError):
        return 1


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.external_attr = 0o644 << 16
    return member


def _not_a_recording(path: Path) -> str:
    with path.open("rb") as file:
        begun = file.read(4) == b"PK\x03\x04"
    if begun:
        return f"{str(path)!r} ends too early: its recorder was killed or ran out of room, or it was not copied whole; copy it or record again"
    return f"{str(path)!r} is no recording: give the file that `routecast record` wrote"
