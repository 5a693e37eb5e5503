from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from routecast.analytics.merge import Merge
from routecast.models.capacity import Capacity, ScaleHint
from routecast.models.config import Config
from routecast.models.errors import CheckFailed
from routecast.models.events import Completed, Control, Outcome, decode_events, encode_events
from routecast.models.insights import Recommendations
from routecast.models.recommendation import Recommendation
from routecast.models.subject import Subject
from routecast.models.tick import Claim, TickRecord, decode_tick, encode_tick
from routecast.streams.calls.call import Call
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.leadership.leader import Leader, trips_of
from routecast.streams.memory import MemoryReader, Record
from routecast.streams.recordings.recorder import From, Recorder
from routecast.streams.recordings.recording import BASE, Recording, RecordingWriter
from routecast.streams.recordings.replay import replay
from routecast.streams.recordings.verification import Verification
from routecast.streams.topics import CONTROL, PANES, STATE, TICKS, TRIPS
from routecast.testing import Fleet

pytestmark = pytest.mark.untraced

OUTCOMES: list[Outcome] = ["ok", "error", "timeout", "rate_limited", "cancelled"]
CONFIG = Config.model_validate(
    {
        "target": [{"id": f"t{i}", "provider": f"p{i % 2}", "model": "m", "service": "chat"} for i in range(4)]
        + [{"id": "m0", "provider": "p0", "model": "m", "service": "mail"}],
        "intervals": {"metrics_ms": 2000},
    }
)


def _silent(events: int, at_ms: float) -> None:
    """Nobody watches."""


class _World:
    """A fleet with troubles whose leader can be replaced, as workers on Kafka do it."""

    def __init__(self, seed: int, partitions: int = 3) -> None:
        self.fleet = Fleet(CONFIG, routers=4, seed=seed, partitions=partitions, service="chat")
        self.pipeline, self.log = self.fleet.pipeline, self.fleet.pipeline.log
        self.pipeline.kept, self.pipeline.checkpoint_ms = 1_000_000, 5_000
        self._luck = random.Random(seed)
        self._partitions = partitions
        self._dead: set[str] = set()

    def traffic(self, requests: int) -> None:
        """Requests of every kind, events that are late, early, bad or of strangers, and targets that fail for a while."""
        luck, fleet = self._luck, self.fleet
        for _ in range(requests):
            fleet.advance_to(fleet.now_ms + luck.expovariate(0.05))
            if luck.random() < 0.01:
                self._dead = {f"t{luck.randrange(4)}"} if luck.random() < 0.7 else set()
            if luck.random() < 0.02:
                self._odd()
            router = fleet.router(luck.randrange(4))
            call = router.start(router.choose())
            outcome: Outcome = "error" if call.decision.target in self._dead else luck.choices(OUTCOMES, [80, 5, 3, 4, 8])[0]
            call.tokens(input=luck.randrange(900), output=luck.randrange(200))
            if luck.random() < 0.98:
                fleet.queue.after(luck.lognormvariate(6, 1), self._end, call, outcome)

    def _end(self, call: Call, outcome: Outcome) -> None:
        """With headers of rate limits now and then: refusals that hold for seconds, limits that come and go."""
        luck = self._luck
        if outcome == "rate_limited" and luck.random() < 0.7:
            call.headers({"retry-after": str(luck.choice([0.2, 1, 3, 20]))}, status=429)
        elif luck.random() < 0.2:
            limit, left = luck.choice([50, 500]), luck.randrange(50)
            call.headers({"x-ratelimit-limit-requests": f"{limit}", "x-ratelimit-remaining-requests": f"{left}", "x-ratelimit-reset-requests": "9s"})
        call.finish(outcome)

    def _odd(self) -> None:
        luck, now_ms = self._luck, self.fleet.now_ms
        at_ms = now_ms + luck.choice([-700_000, -611_000, -605_000, -595_000, -30_000, 30_000, 70_000]) + luck.uniform(-5_000, 5_000)
        target, service = luck.choice([("t1", "chat"), ("m0", "mail"), (f"n{luck.randrange(4)}", "chat")])
        event = Completed(
            at_ms=at_ms, request_id="odd", target=target, service=service, started_at_ms=at_ms - 400, duration_ms=400, outcome="ok", quality=luck.random(),
            start_reported=luck.random() < 0.5,
        )  # fmt: skip
        self.log.append(
            "events", luck.choice([encode_events([event]), b"[{}," + encode_events([event])[1:], b"no json"]), partition=luck.randrange(self._partitions)
        )

    def say(self, **word: object) -> None:
        """An operator's word, heard at the next tick."""
        control = Control(at_ms=self.fleet.now_ms, **word)  # type: ignore[arg-type]
        offset = self.log.append(CONTROL, encode_events([control]), key=control.target.encode())
        self.pipeline.leader.hear(offset, control)

    def replace_leader(self, config: Config = CONFIG, *, resume: bool = True) -> Leader:
        """A new leader reads the changelog and the newest checkpoint; the old one, which is returned, may go on."""
        merge = Merge()
        for partition in range(self._partitions):
            for row in self._all(PANES, partition):
                merge.add(row.key, row.value)
        states = {record.key: record.value or b"" for record in self._all(STATE)}
        checkpoint = Checkpoint.decode(states[b"checkpoint"]) if resume and b"checkpoint" in states else None
        self.log.append(STATE, config.model_dump_json().encode(), key=f"config/{config.version}".encode())
        claim = Claim(at_ms=self.fleet.now_ms, worker="w", config_version=config.version)
        term = self.log.append(TICKS, encode_tick(claim))
        old, self.pipeline.leader = self.pipeline.leader, Leader(config, term, self.fleet.now_ms, merge, checkpoint)
        for record in self._all(CONTROL):
            word = decode_events(record.value or b"")[0][0]
            assert isinstance(word, Control)
            self.pipeline.leader.hear(record.offset, word)
        for record in self._all(TRIPS):
            self.pipeline.leader.heed(record.offset, record.append_ms, trips_of(record.value or b"")[0])
        return old

    def zombie_ticks(self, leader: Leader) -> None:
        """An old leader that does not know it is over publishes once more."""
        leader.look(self.fleet.now_ms)
        for message in leader.tick(self.fleet.now_ms):
            self.log.append(message.topic, message.value, key=message.key)

    def _all(self, topic: str, partition: int = 0) -> list[Record]:
        return self.log.read(topic, partition, 0, 1_000_000)

    def record(self, path: Path, begin: From, then: Callable[[], None]) -> Path:
        """A recording that begins now and ends after `then`."""

        async def work() -> None:
            with RecordingWriter(path, "routecast.") as out:
                recorder = Recorder(MemoryReader(self.log), out, begin)
                await recorder.begin()
                await recorder.copy()
                then()
                await recorder.copy()

        asyncio.run(work())
        return path


def _eventful(world: _World) -> None:
    """Drains, leaders that come and go, one that does not know it is over, one without a checkpoint, a new configuration."""
    world.traffic(300)
    world.say(target="t1", action="drain")
    world.traffic(300)
    old = world.replace_leader()
    world.traffic(150)
    world.zombie_ticks(old)
    world.say(target="t2", action="set_weight", weight=3.0)
    world.traffic(100)
    world.zombie_ticks(old)
    world.replace_leader(CONFIG.model_copy(update={"adaptive": CONFIG.adaptive.model_copy(update={"learning_rate": 0.2})}))
    world.say(target="t1", action="resume")
    world.traffic(250)
    world.replace_leader(resume=False)
    world.traffic(250)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("begin", ["beginning", "newest", "oldest"])
def test_everything_published_is_computed_again_byte_for_byte(tmp_path: Path, seed: int, begin: From) -> None:
    """Snapshots, ticks and checkpoints of every term, from the first event or from a checkpoint on, whatever happened meanwhile."""
    world = _World(seed, partitions=1 + seed % 3)
    world.traffic(700)
    path = world.record(tmp_path / "a.rec", begin, lambda: _eventful(world))
    with Recording(path) as recording:
        recording.check()
        verified = Verification(recording, _silent).run()
        assert verified.unverified == {}
        assert (len(verified.terms), verified.snapshots) == (4, 2 * verified.ticks)
        first = 0 if recording.manifest.base is None else recording.manifest.base.seq
        assert verified.ticks == sum(isinstance(decode_tick(record.value or b""), TickRecord) for record in recording.records(TICKS, 0)) - (first > 0)
        checkpoints = sum(record.key == b"checkpoint" for record in recording.records(STATE, 0))
        assert verified.checkpoints == checkpoints - (first > 0)
        assert (recording.manifest.base is None) == (begin == "beginning")


@pytest.mark.timeout(300)
def test_a_recording_across_the_expiry_of_panes_is_verified(tmp_path: Path) -> None:
    """Twelve minutes: what is older than ten is let go of by fold and leader at the same offsets and ticks."""
    world = _World(7)
    world.traffic(200)

    def minutes(n: int) -> None:
        for _ in range(n):
            world.fleet.advance_to(world.fleet.now_ms + 55_000)
            world.traffic(100)
        world.replace_leader()
        world.traffic(100)

    begins: list[tuple[From, int]] = [("beginning", 12), ("newest", 1)]
    for begin, n in begins:
        with Recording(world.record(tmp_path / begin, begin, partial(minutes, n))) as recording:
            assert Verification(recording, _silent).run().unverified == {}


def test_plans_that_leaders_took_do_not_stand_in_the_way(tmp_path: Path) -> None:
    """They come from processes beside the leader, which no recording holds; checkpoints know of them, and are verified all the same."""
    world = _World(8)
    world.traffic(300)

    def planned() -> None:
        for step in range(3):
            at_ms = world.fleet.now_ms
            capacity = Capacity(service="chat", at_ms=at_ms, now_per_min=1.0, limit_ms=500.0, scale=ScaleHint(action="none", reason="enough"))
            subject = Subject(kind="target", id="t1", service="chat")
            advice = Recommendation(
                id="drain:t1", kind="drain", priority="high", subject=subject, description="slow", action="routecast targets drain t1", since_ms=at_ms
            )
            world.pipeline.leader.planned(capacity, Recommendations(service="chat", at_ms=at_ms, recommendations=(advice,) * (step % 2)))
            world.traffic(150)
            world.replace_leader()
            world.traffic(150)

    with Recording(world.record(tmp_path / "a.rec", "newest", planned)) as recording:
        verified = Verification(recording, _silent).run()
        assert verified.unverified == {}
        assert verified.checkpoints == 3


def test_a_leader_that_began_before_the_recording_is_left_out_and_named(tmp_path: Path) -> None:
    """The others are verified; what could not be is said."""
    world = _World(3)
    world.traffic(500)
    old = world.replace_leader()

    def work() -> None:
        world.zombie_ticks(old)
        world.traffic(300)

    world.traffic(500)
    with Recording(world.record(tmp_path / "a.rec", "newest", work)) as recording:
        verified = Verification(recording, _silent).run()
        assert verified.unverified == {1: "it began before the recording"}
        assert verified.terms == (world.pipeline.leader._term,)


def test_a_recording_without_ticks_is_not_called_verified(tmp_path: Path) -> None:
    """Nothing compared is nothing proved."""
    with Recording(_World(1).record(tmp_path / "a.rec", "newest", lambda: None)) as recording, pytest.raises(CheckFailed, match="no tick"):
        Verification(recording, _silent).run()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording in which nothing is wrong."""
    world = _World(5, partitions=2)
    world.traffic(400)

    def work() -> None:
        world.traffic(300)
        world.say(target="t0", action="drain")
        world.traffic(300)

    return world.record(tmp_path_factory.mktemp("sound") / "a.rec", "newest", work)


def _forged(source: Path, path: Path, forge: Callable[[str, int, Record], Record | None]) -> Path:
    """The recording with some records changed or left out, and all checksums right."""
    with Recording(source) as recording, RecordingWriter(path, "routecast.") as out:
        out.base = recording.manifest.base
        for stretch in recording.manifest.stretches:
            for record in recording.records(stretch.topic, stretch.partition):
                changed = forge(stretch.topic, stretch.partition, record)
                if changed is not None:
                    out.add(stretch.topic, stretch.partition, changed)
    return path


def _slower(topic: str, partition: int, record: Record) -> Record:
    """One completion took a millisecond longer."""
    if (topic, partition) != ("events", 1) or b'"outcome":"ok"' not in (record.value or b""):
        return record
    events = decode_events(record.value or b"")[0]
    changed = [msgspec.structs.replace(event, duration_ms=event.duration_ms + 1) if isinstance(event, Completed) else event for event in events]
    return record._replace(value=encode_events(changed))


def _without(topic: str, partition: int, offset: int) -> Callable[[str, int, Record], Record | None]:
    return lambda t, p, record: None if (t, p, record.offset) == (topic, partition, offset) else record


def _changed(topic: str, change: Callable[[Record], Record]) -> Callable[[str, int, Record], Record]:
    return lambda t, _, record: change(record) if t == topic else record


def _first_offset(path: Path, topic: str, skip: int) -> int:
    with Recording(path) as recording:
        return recording.manifest.of(topic)[0].first_offset + skip


def test_a_changed_event_is_found(sound: Path, tmp_path: Path) -> None:
    """By the first snapshot that differs."""
    with Recording(_forged(sound, tmp_path / "a.rec", _slower)) as recording:
        recording.check()
        with pytest.raises(CheckFailed, match=r"snapshot 1/\d+ of service 'chat' is not the one that was published"):
            Verification(recording, _silent).run()


def _reweighted(record: Record) -> Record:
    return record._replace(value=(record.value or b"").replace(b'"drain"', b'"resume"'))


def _recounted(record: Record) -> Record:
    return record._replace(value=(record.value or b"").replace(b'"routers":4', b'"routers":5'))


@pytest.mark.parametrize(("forge", "said"), [
    (_changed(CONTROL, _reweighted), "snapshot 1/"),
    (_changed(TICKS, _recounted), "tick 1/"),
    (_changed(BASE, lambda record: record._replace(value=(record.value or b"").replace(b"\xa2t3", b"\xa2t0"))), "snapshot 1/|checkpoint 1/"),
], ids=["word", "tick", "base"])  # fmt: skip
def test_other_changes_are_found(sound: Path, tmp_path: Path, forge: Callable[[str, int, Record], Record], said: str) -> None:
    """In operators' words, ticks, and the rows it begins with."""
    with Recording(_forged(sound, tmp_path / "a.rec", forge)) as recording, pytest.raises(CheckFailed, match=said):
        Verification(recording, _silent).run()


def test_a_changed_checkpoint_is_found(sound: Path, tmp_path: Path) -> None:
    """A later one is compared as a whole."""

    def forge(topic: str, _: int, record: Record) -> Record:
        if topic != STATE or record.key != b"checkpoint":
            return record
        checkpoint = Checkpoint.decode(record.value or b"")
        return record if checkpoint.seq == base_seq else record._replace(value=msgspec.structs.replace(checkpoint, weights={"t0": 2.0}).encode())

    with Recording(sound) as recording:
        assert recording.manifest.base is not None
        base_seq = recording.manifest.base.seq
    with Recording(_forged(sound, tmp_path / "a.rec", forge)) as recording, pytest.raises(CheckFailed, match=r"checkpoint 1/\d+ is not the one"):
        Verification(recording, _silent).run()


@pytest.mark.parametrize(("topic", "said"), [("events", "snapshot 1/|is not in the file"), ("ticks", r"tick 1/\d+ is not in the file")])
def test_a_missing_record_is_found(sound: Path, tmp_path: Path, topic: str, said: str) -> None:
    """Events and ticks cannot be left out."""
    forge = _without(topic, 0, _first_offset(sound, topic, 5))
    with Recording(_forged(sound, tmp_path / "a.rec", forge)) as recording, pytest.raises(CheckFailed, match=said):
        Verification(recording, _silent).run()


def test_a_missing_configuration_is_found(sound: Path, tmp_path: Path) -> None:
    """With what to do."""
    forge = _without(STATE, 0, 0)
    with Recording(_forged(sound, tmp_path / "a.rec", forge)) as recording, pytest.raises(CheckFailed, match=r"configuration \w+ is not in the file"):
        Verification(recording, _silent).run()


@pytest.mark.parametrize("begin", ["beginning", "newest"])
def test_replay_counts_what_was_recorded(tmp_path: Path, begin: From) -> None:
    """Outcomes of every target in the recorded stretch alone, whatever came before it."""
    world = _World(11)
    world.traffic(500)
    path = world.record(tmp_path / "a.rec", begin, lambda: world.traffic(500))
    with Recording(path) as recording:
        found = replay(recording, _silent)
        events = list(_events(recording))
    completed = [event for event in events if isinstance(event, Completed)]
    assert found.events == len(events)
    assert sum(target.ended for target in found.targets) == len(completed)
    assert {t.target: t.ok for t in found.targets if t.ok} == {
        name: n for name in sorted({event.target for event in completed}) if (n := sum(e.target == name and e.outcome == "ok" for e in completed))
    }


def _events(recording: Recording) -> Iterator[object]:
    for partition in recording.partitions("events"):
        for record in recording.records("events", partition):
            yield from decode_events(record.value or b"")[0]
