"""In any order of uploads, sweeps and crashes, the bytes of every live or restorable reference exist."""

import io
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import select

from eventstore.database import Database
from storage.cid import cid_of
from storage.errors import MediaGoneError
from storage.media import Media, media
from storage.sweep import sweep
from storage.taken_down import taken_down_bytes
from tests.storage.memory_store import MemoryStore
from tests.storage.references import Names, name, named_now, names, release
from tests.storage.stepped_threads import Actor, Stage

SOUNDS = {cid_of(data): data for data in (b"one", b"two", b"three")}
GRACE = timedelta(days=30)
cids = st.sampled_from(sorted(SOUNDS))


class Tape(RuleBasedStateMachine):
    """Uploads and sweeps run as actors that may stop for days, or crash, at any step."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.database = Database(f"sqlite:///{Path(self.folder.name) / 'tape.db'}", clock=self.clock)
        media.create(self.database.engine)
        taken_down_bytes.create(self.database.engine)
        names.create(self.database.engine)
        self.stage = Stage()
        self.store = MemoryStore(self.clock)
        self.store.at = self.stage.at
        self.storage = Media(self.database, self.store)
        self.actors: list[Actor] = []

    def clock(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now

    @rule(cid=cids)
    def upload(self, cid: str) -> None:
        def work() -> None:
            try:
                self.storage.add(cid, io.BytesIO(SOUNDS[cid]), len(SOUNDS[cid]), "audio/mpeg")
            except MediaGoneError:
                return  # marked for deletion three times: the client has to retry

        self.actors.append(self.stage.enter(work))

    @rule()
    def begin_sweep(self) -> None:
        self.actors.append(self.stage.enter(lambda: void(sweep(self.storage, Names(), GRACE))))

    @rule(cid=cids)
    def name(self, cid: str) -> None:
        try:
            name(self.storage, cid)
        except MediaGoneError:
            return

    @rule(cid=cids)
    def release(self, cid: str) -> None:
        if cid in named_now(self.database):
            release(self.database, cid)

    @rule(days=st.integers(1, 40))
    def time_passes(self, days: int) -> None:
        self.now += timedelta(days=days)

    @precondition(lambda self: self.actors)
    @rule(data=st.data(), steps=st.integers(1, 8))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        actor = data.draw(st.sampled_from(self.actors))
        for _ in range(steps):
            if not actor.finished:
                actor.step()
                self.nothing_named_is_absent()
        if actor.finished:
            self.actors.remove(actor)

    @precondition(lambda self: self.actors)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        actor = data.draw(st.sampled_from(self.actors))
        self.actors.remove(actor)
        actor.crash()

    @invariant()
    def nothing_named_is_absent(self) -> None:
        with self.database.read() as connection:
            wanted = names.c.released_at.is_(None) | (names.c.released_at > self.now - GRACE)
            needed = list(connection.execute(select(names.c.cid).where(wanted)).scalars())
        for cid in needed:
            assert b"".join(self.storage.read(cid)) == SOUNDS[cid]

    def teardown(self) -> None:
        for actor in self.actors:
            actor.crash()
        self.now += 2 * GRACE
        sweep(self.storage, Names(), GRACE)
        needed = set(named_now(self.database))
        assert {key.partition(".")[0] for key in self.store.copies} == needed
        assert len(self.store.copies) == len(needed)
        self.database.close()
        self.folder.cleanup()


def void(_value: object) -> None:
    """Drop it."""


Tape.TestCase.settings = settings(
    max_examples=200 if os.environ.get("TEST_DEEP") else 20,
    stateful_step_count=40,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestTape = Tape.TestCase
