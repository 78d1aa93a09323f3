"""Tracks, their bytes, and public copies in memory, with a hook before and after each change of a copy."""

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from aggregates.tracks.track import Track
from aggregates.values import Audio, SupportGate
from eventstore.change import Envelope
from eventstore.errors import LeaseLostError
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure
from eventstore.jobs.worker import Worker
from eventstore.sql.database import Database
from eventstore.unit_of_work import UnitOfWork
from storage.cid import cid_of, cid_of_name
from storage.errors import BytesMissingError, StorageError, StoreUnavailableError
from storage.media import Media
from storage.public.copies import Action, public_copy, release_expired
from storage.public.projection import PublicAudio
from storage.public.publisher import LEASE, Publisher
from tests.dsl import ALICE, a_track, some_time
from tests.eventstore.jobs.rig import claim_anywhere
from tests.storage.memory_store import MemoryStore
from tests.storage.stepped_threads import CrashError

GATE = SupportGate("any")
ENVELOPE = Envelope("artist", "test", "r")


def gate(track: Track) -> None:
    track.set_support_gate(GATE, at=some_time(10))


def ungate(track: Track) -> None:
    track.set_support_gate(None, at=some_time(11))


def delete(track: Track) -> None:
    track.delete(at=some_time(12))


def undelete(track: Track) -> None:
    track.undelete(at=some_time(13))


class MemoryCopies:
    """PublicCopies; `at` is called in the middle of each change and may crash, fail, or act as another process."""

    public_address = "https://media.example/public"

    def __init__(self, store: MemoryStore) -> None:
        self.names: dict[str, str] = {}
        self.at: Callable[[str], None] = lambda _step: None
        self.done: list[tuple[str, str]] = []
        self._store = store

    def publish(self, key: str, name: str, mime: str) -> None:
        self.at("before publish")
        if key not in self._store.copies:
            raise BytesMissingError(key)
        self.names[name] = mime
        self.done.append(("publish", name))
        self.at("after publish")

    def unpublish(self, name: str) -> None:
        self.at("before unpublish")
        self.names.pop(name, None)
        self.done.append(("unpublish", name))
        self.at("after unpublish")

    def published(self, beginning: str = "") -> Iterator[str]:
        self.at("list")
        return (name for name in list(self.names) if name.startswith(beginning))


class Clock:
    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Rig:
    def __init__(self, url: str) -> None:
        self.clock = Clock()
        self.database = Database(url, clock=self.clock)
        self.log = EventLog(self.database, projections=[PublicAudio()])
        self.store = MemoryStore()
        self.media = Media(self.database, self.store)
        self.copies = MemoryCopies(self.store)
        self.processes = 0
        self.publisher = self.another()

    def another(self, **options: timedelta) -> Publisher:
        self.processes += 1
        return Publisher(self.media, self.copies, owner=str(self.processes), **options)

    def audio(self, number: int = 1, file_type: str = "mp3") -> Audio:
        data = f"sound {number}".encode()
        self.media.add(cid_of(data), io.BytesIO(data), len(data), "audio/mpeg")
        return Audio(cid_of(data), len(data), "audio/mpeg", file_type, 1)

    def upload(self, track_id: int = 1, *, number: int = 1, did: str = ALICE, gated: bool = False) -> str:
        audio = self.audio(number)
        track = a_track(track_id, did=did, audio=audio, support_gate=GATE if gated else None)
        with self.log.unit_of_work(did, ENVELOPE) as unit:
            unit.save(track)
        return f"{audio.cid}.{audio.file_type}"

    def change(self, *commands: Callable[[Track], None], track_id: int = 1, did: str = ALICE) -> None:
        with self.log.unit_of_work(did, ENVELOPE) as unit:
            self.change_within(unit, *commands, track_id=track_id)

    def change_within(self, unit: UnitOfWork, *commands: Callable[[Track], None], track_id: int = 1) -> None:
        track = unit.load(Track, Track.create_id(track_id))
        for command in commands:
            command(track)
        unit.save(track)

    def key(self, name: str) -> str:
        found = self.media.find(cid_of_name(name) or "")
        assert found is not None
        return found.key

    def publish_due(self) -> set[str]:
        run_due(self.publisher)
        return set(self.copies.names)

    def later(self, seconds: float) -> None:
        self.clock.ahead += timedelta(seconds=seconds)

    def state(self, name: str) -> str:
        with self.database.read() as connection:
            return str(
                connection.scalars(select(public_copy.c.state).where(public_copy.c.name == name)).one()
            )

    def fail(self) -> None:
        def away(_step: str) -> None:
            raise StoreUnavailableError("away")

        self.copies.at = away

    def recover(self) -> None:
        self.copies.at = lambda _step: None


def run_due(publisher: Publisher, *actions: Action) -> int:
    """Do what is due in this thread, as a worker does: of these actions, or all; returns how many copies were looked at."""
    database, done = publisher._database, 0  # noqa: SLF001
    failed: set[int] = set()
    release_expired(database)
    kinds = [publisher.kinds[each] for each in actions or (Action.REMOVE, Action.PUBLISH)]
    while True:
        claims = (claim_anywhere(database, each, publisher._owner, LEASE) for each in kinds)  # noqa: SLF001
        claimed = next((each for each in claims if each is not None), None)
        if claimed is not None and claimed.id in failed:  # on a slow machine its pause is over by now
            queue.release(database, claimed)
        if claimed is None or claimed.id in failed:
            return done
        kind = publisher.kinds[Action(claimed.kind)]
        try:
            queue.settle(database, kind, claimed, publisher.do(claimed))
        except LeaseLostError:
            pass
        except StorageError as error:
            queue.fail(database, kind, claimed, Failure(str(error)))
            failed.add(claimed.id)
        done += 1


def worker_of(publisher: Publisher) -> Worker:
    return Worker(publisher._database, publisher.kinds.values(), owner="worker", lease=LEASE)  # noqa: SLF001


@contextmanager
def running(worker: Worker) -> Iterator[Callable[[], None]]:
    loop, stopped = asyncio.new_event_loop(), threading.Event()
    task = loop.create_task(worker.run())
    thread = threading.Thread(target=lambda: (loop.run_until_complete(asyncio.wait({task})), stopped.set()))
    thread.start()
    try:
        yield worker.wake
    finally:
        loop.call_soon_threadsafe(task.cancel)
        assert stopped.wait(10)
        thread.join()
        worker._threads._pool.shutdown()  # noqa: SLF001 - what they do goes on when the worker is cancelled
        loop.close()


class Once:
    """Runs an action at one step, the first time only."""

    def __init__(self, step: str, action: Callable[[], object]) -> None:
        self.step, self.action, self.came = step, action, False

    def __call__(self, step: str) -> None:
        if step == self.step and not self.came:
            self.came = True
            self.action()


def crash() -> None:
    raise CrashError
