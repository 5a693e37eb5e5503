from __future__ import annotations

import json
import random
import resource
import tracemalloc
import zipfile
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from routecast.models.errors import CheckFailed, ConfigError, DecodeError, RoutecastError
from routecast.streams.memory import Record
from routecast.streams.recordings.recording import PART_BYTES, Recording, RecordingWriter


def _write(path: Path, records: Iterable[tuple[str, int, Record]]) -> Path:
    with RecordingWriter(path, "routecast.") as out:
        for topic, partition, record in records:
            out.add(topic, partition, record)
    return path


def _random_records(seed: int, n: int, size: int) -> list[tuple[str, int, Record]]:
    luck, ends = random.Random(seed), dict[tuple[str, int], int]()
    found: list[tuple[str, int, Record]] = []
    for i in range(n):
        place = (luck.choice(["events", "ticks", "panes"]), luck.randrange(3))
        ends[place] = ends.get(place, 100) + luck.choice([1, 1, 1, 4])
        value = None if luck.random() < 0.1 else luck.randbytes(luck.randrange(size))
        found.append((*place, Record(ends[place], 1e12 + i + luck.random(), luck.randbytes(luck.randrange(4)), value)))
    return found


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small finished recording."""
    return _write(tmp_path / "small.rec", _random_records(1, 12, 60))


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    """Key, value or tombstone, offset with gaps, and append time, over several parts of several partitions."""
    written = _random_records(2, 400, 60_000)
    with Recording(_write(tmp_path / "a.rec", written)) as recording:
        for topic in ("events", "ticks", "panes"):
            for partition in range(3):
                expected = [record for *place, record in written if place == [topic, partition]]
                assert list(recording.records(topic, partition)) == expected
                assert list(recording.records(topic, partition, expected[20].offset)) == expected[20:]
        assert list(recording.records("events", 7)) == []
        assert max(len(stretch.parts) for stretch in recording.manifest.stretches) > 1


def test_the_manifest_says_what_is_in_the_file(tmp_path: Path) -> None:
    """Counts, first and last offsets and times, of every partition; events, not records, are counted."""
    records = [Record(5, 1000.0, b"", b'[{"a":1},{"b":[{}]}]'), Record(9, 3000.5, b"", b"{}"), Record(10, 3000.5, b"", b"not json")]
    with Recording(_write(tmp_path / "a.rec", (("events", 2, record) for record in records))) as recording:
        (stretch,) = recording.manifest.stretches
    assert (stretch.topic, stretch.partition, stretch.records) == ("events", 2, 3)
    assert (stretch.first_offset, stretch.last_offset, stretch.first_ms, stretch.last_ms) == (5, 10, 1000.0, 3000.5)
    assert (recording.manifest.events, recording.manifest.prefix, recording.manifest.format) == (4, "routecast.", 1)
    assert (recording.manifest.first_ms, recording.manifest.last_ms) == (1000.0, 3000.5)


def test_others_can_open_the_file(small: Path) -> None:
    """It is a ZIP file of MessagePack arrays, each with its SHA-256 in the manifest."""
    with zipfile.ZipFile(small) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[-1] == "manifest.json"
        manifest = json.loads(archive.read("manifest.json"))
        parts = [part for stretch in manifest["stretches"] for part in stretch["parts"]]
        assert sorted(part["name"] for part in parts) == sorted(archive.namelist()[:-1])
        for part in parts:
            data = archive.read(part["name"])
            assert sha256(data).hexdigest() == part["sha256"]
            records = msgspec.msgpack.decode(data)
            assert len(records) == part["records"]
            assert (records[0][0], records[-1][0]) == (part["first_offset"], part["last_offset"])


def test_equal_records_make_equal_files(tmp_path: Path) -> None:
    """Nothing of the moment of writing is in the file."""
    files = [_write(tmp_path / name, _random_records(3, 100, 5000)).read_bytes() for name in ("a.rec", "b.rec")]
    assert files[0] == files[1]


def test_every_flipped_bit_is_found(small: Path) -> None:
    """Anywhere: in parts, headers, directory, manifest and the seal itself."""
    data = bytearray(small.read_bytes())
    for place in range(len(data)):
        bit = 1 << place % 8
        data[place] ^= bit
        small.write_bytes(data)
        with pytest.raises((CheckFailed, DecodeError)), Recording(small) as recording:
            recording.check()
        data[place] ^= bit
    small.write_bytes(data)
    with Recording(small) as recording:
        recording.check()


def test_a_damaged_part_is_found_where_it_is_read(tmp_path: Path) -> None:
    """Also without checking the whole file; the part is named."""
    path = _write(tmp_path / "a.rec", [("events", 0, Record(0, 1.0, b"", b"x" * 100))])
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    with Recording(path) as recording, pytest.raises(CheckFailed, match=r"is damaged: events/0/000000.msgpack"):
        list(recording.records("events", 0))


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.9999])
def test_a_file_that_is_cut_short_says_so(small: Path, kept: float) -> None:
    """As of a recorder that was killed, or of half a copy."""
    data = small.read_bytes()
    small.write_bytes(data[: int((len(data) - 1) * kept)])
    with pytest.raises(DecodeError, match="ends too early"):
        Recording(small)


def test_a_killed_recorder_leaves_a_file_that_says_so(tmp_path: Path) -> None:
    """Parts without a directory."""
    out = RecordingWriter(tmp_path / "a.rec", "routecast.")
    out.add("events", 0, Record(0, 1.0, b"", b"x" * (PART_BYTES + 1)))
    (tmp_path / "killed.rec").write_bytes((tmp_path / "a.rec").read_bytes())
    out.close()
    with pytest.raises(DecodeError, match="ends too early"):
        Recording(tmp_path / "killed.rec")


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    """Another kind of file, another kind of ZIP file, nothing at all."""
    path = tmp_path / "a"
    path.write_text("time,target\n")
    with pytest.raises(DecodeError, match="is no recording: give the file"):
        Recording(path)
    path.write_bytes(b"")
    with pytest.raises(DecodeError, match="is no recording: give the file"):
        Recording(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "b")
    with pytest.raises(DecodeError, match=r"a ZIP file without manifest.json"):
        Recording(path)
    with pytest.raises(ConfigError, match="does not exist"):
        Recording(tmp_path / "b")
    with pytest.raises(ConfigError, match="cannot be read"):
        Recording(tmp_path)


@pytest.mark.parametrize(("manifest", "said"), [
    ('{"format": 2, "routecast": "3.1.4", "new": {}}', "format 2, written by routecast 3.1.4; this version reads format 1"),
    ('{"routecast": "3.1.4"}', "its manifest cannot be read"),
    ("{", "its manifest cannot be read"),
])  # fmt: skip
def test_another_format_is_refused(tmp_path: Path, manifest: str, said: str) -> None:
    """With the version that can read it."""
    with zipfile.ZipFile(tmp_path / "a.rec", "w") as archive:
        archive.writestr("manifest.json", manifest)
    with pytest.raises(DecodeError, match=said):
        Recording(tmp_path / "a.rec")


def test_a_recording_is_not_overwritten(small: Path, tmp_path: Path) -> None:
    """A second recording needs another name; a folder that is not there is said."""
    before = small.read_bytes()
    with pytest.raises(ConfigError, match="exists: give another file"):
        RecordingWriter(small, "routecast.")
    assert small.read_bytes() == before
    with pytest.raises(ConfigError, match="cannot be made"):
        RecordingWriter(tmp_path / "missing" / "a.rec", "routecast.")


def test_an_error_before_the_first_record_leaves_no_file(tmp_path: Path) -> None:
    """So that the next attempt can have the name; with records the file stays and is complete."""
    with pytest.raises(ZeroDivisionError), RecordingWriter(tmp_path / "a.rec", "routecast."):
        raise ZeroDivisionError
    assert not (tmp_path / "a.rec").exists()
    with pytest.raises(ZeroDivisionError), RecordingWriter(tmp_path / "a.rec", "routecast.") as out:
        _add_and_fail(out)
    with Recording(tmp_path / "a.rec") as recording:
        assert recording.partitions("events") == [0]


def _add_and_fail(out: RecordingWriter) -> None:
    out.add("events", 0, Record(0, 1.0, b"", b"x"))
    raise ZeroDivisionError


@pytest.mark.parametrize("room", [100, 3_000, 200_000])
def test_a_disk_that_is_full_is_said_whenever_it_is(tmp_path: Path, room: int) -> None:
    """At a part, or only when what was buffered is written; and the file is no recording."""
    path, before = tmp_path / "full.rec", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(RoutecastError, match="make room and record again"):
            _write(path, _random_records(3, 200, 2 * room))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with pytest.raises(DecodeError):
        Recording(path)


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    """Over many partitions: parts are written as they fill, and before all of them together take too much."""
    value = b"x" * 50_000

    def peak_mb(records: int) -> float:
        tracemalloc.start()
        with RecordingWriter(tmp_path / f"{records}.rec", "routecast.") as out:
            for i in range(records):
                out.add("events", i % 100, Record(i, 1.0, b"", value[i % 7 :]))
        found = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        return found

    assert peak_mb(1_500) < 45
