"""An event log, a relay and a PDS, with the network between them under the test's control."""

import asyncio
import hashlib
from base64 import b32encode
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from unittest.mock import patch

import httpx

from aggregates.published import Published, Subject
from aggregates.tracks.track import Track
from aggregates.values import Audio
from devpds.server import DevPds
from eventstore.change import Envelope
from eventstore.coordination import due_parts
from eventstore.coordination.due_parts import parts_of
from eventstore.event_log import EventLog
from eventstore.projection import Projection
from eventstore.sql.database import Database
from outbox.blobs.worker import Uploads
from outbox.lists.record import ListRecords
from outbox.mirror.hosts import Hosts, PacedPds
from outbox.mirror.lanes import Lane, resume_lane
from outbox.mirror.requeue import retry
from outbox.mirror.targets import MirrorTargets
from outbox.pds.client import Pds
from outbox.probes.jobs import Probes
from outbox.profiles.record import ProfileRecords
from outbox.reactions.record import CommentRecords
from outbox.record.kind import RecordKinds
from outbox.relay.claim import claim
from outbox.relay.delivery import Delivery
from outbox.relay.relay import Relay, RelayLimits
from outbox.relay.result import Outcome, Result
from outbox.relay.settle import settle
from outbox.tracks.record import RecordUrls, TrackRecords
from outbox.views.deliveries import EventDelivery, attempts_of, deliveries
from outbox.views.status import Mirror, mirrors
from outbox.views.waits import MirrorWaits
from tests.dsl import ALICE, COLLECTION, LISTS, OLD_COLLECTION, a_track
from tests.fake_pds.signed_in_pds import SignedInPds
from tests.outbox.rigs.directory import FakeDirectory
from tests.outbox.rigs.wire import ANYONE, Wire
from tests.outbox.rigs.working_relay import WorkingRelay
from tests.rows import HasRows
from tests.servers.atproto import PdsAccount

P = TypeVar("P", bound=Published)
R = TypeVar("R", bound="Rig")
ARTIST = Envelope(actor="artist", via="test", request_id="test")
URLS = RecordUrls("http://127.0.0.1:8000")
RECORDS = TrackRecords(URLS, COLLECTION, OLD_COLLECTION)
KINDS = RecordKinds(RECORDS, CommentRecords())
LONG = 30.0
"""Seconds for what a slow machine does, too."""
FOR_EVER = 1e9
MORE_THAN_ONE = 5
"""Faults in a row: on a slow machine the pause after a failure is over before the relay polls again."""


def audio_of(data: bytes) -> Audio:
    raw = b"\x01\x55\x12\x20" + hashlib.sha256(data).digest()
    cid = "b" + b32encode(raw).decode().lower().rstrip("=")
    return Audio(cid, size=len(data), mime="audio/mpeg", file_type="mp3", duration=3)


@dataclass
class Bytes:
    held: dict[str, bytes] = field(default_factory=dict)

    def keep(self, data: bytes) -> Audio:
        audio = audio_of(data)
        self.held[audio.cid] = data
        return audio

    def read(self, cid: str) -> Iterator[bytes]:
        if cid not in self.held:
            raise FileNotFoundError(cid)
        data = self.held[cid]
        return iter([data[start : start + 1000] for start in range(0, len(data), 1000)])


class Clock:
    """The database's time, which a test may move on. By itself it moves little, so that no pause ends on a slow machine."""

    def __init__(self) -> None:
        self._began = datetime.now(UTC)
        self._slower = 100
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return self._began + (datetime.now(UTC) - self._began) / self._slower + self.ahead

    def advance(self, **by: float) -> None:
        self.ahead += timedelta(**by)

    def run(self) -> None:
        """Move as fast as every other clock."""
        self._slower = 1


class Rig(HasRows):
    PROJECTIONS: Sequence[Projection] = (MirrorTargets(),)
    OF: type[Published] = Track
    TEXT = "title"
    """The field of its record that an edit changes."""

    def __init__(
        self, database: Database, pds: DevPds | SignedInPds, did: str, wire: Wire, clock: Clock
    ) -> None:
        self.database, self.pds, self.wire, self.clock = database, pds, wire, clock
        self.did = did
        self.owners = defaultdict[int, str](lambda: did)
        self.log = EventLog(database, projections=self.PROJECTIONS)
        self.bytes = Bytes()
        self.hosts = Hosts(database)
        self._api = PacedPds(wire, wire.http, self.hosts)
        self.directory = FakeDirectory(pds.url)
        self.has_addresses(URLS)
        self.sign_in()

    def has_addresses(self, urls: RecordUrls) -> None:
        tracks = TrackRecords(urls, COLLECTION, OLD_COLLECTION)
        others = (CommentRecords(), ProfileRecords(urls.artwork), ListRecords(LISTS))
        self.kinds = RecordKinds(tracks, *others)
        api = Pds(self.wire, self.wire.http)
        self.delivery = Delivery(self.log, self.hosts, api)
        self.relay = self.another_relay("relay-1")

    def sign_in(self, did: str | None = None, host: str | None = None) -> None:
        """The account signs in: its lane works on this host."""
        with self.database.write() as connection:
            resume_lane(connection, did or self.did, host or self.pds.url, self.clock())

    def another_relay(
        self, owner: str, *, lease: float = 60.0, has_ended: Callable[[str], bool] = lambda _: False
    ) -> WorkingRelay:
        uploads = Uploads(self.log, self.hosts, self._api, self.bytes)
        limits = RelayLimits(lease=timedelta(seconds=lease))
        probes = Probes(self.database, self._api, self.directory)
        return WorkingRelay(
            self.log,
            self.delivery,
            uploads,
            probes,
            self.kinds,
            owner=owner,
            limits=limits,
            has_ended=has_ended,
        )

    def upload(self, track_id: int = 1, **fields: Any) -> Track:
        fields.setdefault("audio", self.bytes.keep(f"audio {track_id}".encode() * 500))
        track = a_track(track_id, **{"did": self.did, **fields})
        return self.saves(track)

    def command(
        self,
        subject_id: int,
        command: Callable[[Any], None],
        *,
        did: str | None = None,
        of: type[P] | None = None,
    ) -> P:
        of = of or self.OF
        with self.log.unit_of_work(did or self.did, ARTIST) as unit:
            subject = unit.load(of, of.create_id(subject_id))
            command(subject)
            unit.save(subject)
        return subject

    def edit(self, track_id: int = 1, **changes: Any) -> Track:
        return self.command(track_id, lambda track: track.edit(changes, at=self.clock()))

    async def relay_once(self) -> Counter[Outcome]:
        return await self.relay.run_once()

    def mirror(self, subject_id: int = 1, *, of: type[Published] | None = None) -> Mirror:
        topic = (of or self.OF).TOPIC
        with self.database.read() as connection:
            return mirrors(connection, self.owners[subject_id], topic, [subject_id])[subject_id]

    def recorded(self, subject_id: int = 1) -> Sequence[Any]:
        with self.database.read() as connection:
            return self.log.stream(connection, self.owners[subject_id], self.OF.create_id(subject_id))

    def types(self, subject_id: int = 1) -> list[str]:
        return [type(each.event).__name__ for each in self.recorded(subject_id)]

    def told(self, subject_id: int = 1) -> list[EventDelivery]:
        """What became of each event."""
        events = [(each.position, each.event.touches_record()) for each in self.recorded(subject_id)]
        with self.database.read() as connection:
            of_subject = (self.owners[subject_id], self.OF.TOPIC, subject_id)
            found = deliveries(connection, *of_subject, events, mirror=self.mirror(subject_id))
        return [found[position] for position, _ in events]

    def statuses(self, subject_id: int = 1) -> list[str]:
        return [delivery.status for delivery in self.told(subject_id)]

    def attempts(self, subject_id: int = 1) -> Sequence[Any]:
        """The oldest first."""
        with self.database.read() as connection:
            return attempts_of(connection, self.owners[subject_id], self.OF.TOPIC, subject_id)[::-1]

    def edits_elsewhere(self, subject: Published, **fields: Any) -> None:
        """Another client changes the record: its text, or other fields."""
        fields = {self.TEXT if name == "title" else name: value for name, value in fields.items()}
        record = {**(self.remote(subject) or {}), **fields}
        self.pds.put_record(self.did, subject.collection, subject.rkey, record)

    def remote(self, subject: Published) -> dict[str, Any] | None:
        collection = COLLECTION if isinstance(subject, Track) else subject.collection
        record = self.pds.get_record(self.did, collection, subject.rkey)
        return record["value"] if record is not None else None

    def retry(self, subject_id: int = 1, *, of: type[Published] = Track) -> None:
        with self.database.write() as connection:
            retry(connection, self.did, of.TOPIC, subject_id, self.clock())

    def claim(self, owner: str, *, lease: float = 60.0) -> Lane:
        """A relay claims the lane and then does not come back."""
        [lane] = claim(
            self.database, parts_of(self.database), owner=owner, limit=1, lease=timedelta(seconds=lease)
        )
        return lane

    def settle(self, lane: Lane, result: Result) -> None:
        report = settle(self.log, lane, result)
        if report is not None:
            self.hosts.record(report)

    def saves(self, subject: P) -> P:
        self.owners[subject.subject_id] = subject.did
        with self.log.unit_of_work(subject.did, ARTIST) as unit:
            unit.save(subject)
        return subject


@asynccontextmanager
async def rig_on(
    url: str, pds: DevPds, account: PdsAccount, made: Callable[..., R] = Rig
) -> AsyncIterator[R]:
    clock = Clock()
    database = Database(url, clock=clock)
    async with httpx.AsyncClient() as http:
        reply = await http.post(
            f"{pds.url}/xrpc/com.atproto.server.createSession",
            json={"identifier": account.did, "password": account.app_password},
        )
        wire = Wire(pds, http, account.did, reply.json()["accessJwt"])
        try:
            yield made(database, pds, account.did, wire, clock)
        finally:
            database.close()


@asynccontextmanager
async def memory_rig_on(
    url: str, made: Callable[..., R] = Rig, pds: SignedInPds | None = None
) -> AsyncIterator[R]:
    """A rig on an empty database, whose PDS is in memory."""
    clock, pds = Clock(), pds or SignedInPds()
    database = Database(url, clock=clock)
    async with httpx.AsyncClient(transport=pds) as http:
        try:
            yield made(database, pds, ALICE, Wire(pds, http, ANYONE, "token"), clock)
        finally:
            database.close()


async def seconds_until_found(rig: Rig) -> float:
    """Commit something due of which no wake tells, and let time pass until the relay starts it."""
    now = [1000.0]
    with patch.object(due_parts, "_now", lambda: now[0]):
        await rig.relay_once()
        rig.upload()
        while not rig.relay._runs:  # noqa: SLF001
            now[0] += rig.relay._parts.seconds()  # noqa: SLF001
            await Relay._start_due(rig.relay)  # noqa: SLF001
        await rig.relay_once()
    return now[0] - 1000


@asynccontextmanager
async def running(rig: Rig, *, polls: bool = True) -> AsyncIterator[None]:
    stop = asyncio.Event()
    relay = asyncio.create_task(rig.relay.run(stop, polls=polls))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(relay, LONG)


async def until_delivered(rig: Rig, track_id: int = 1) -> None:
    waits = MirrorWaits(rig.database)
    assert await waits.wait(rig.owners[track_id], Subject("track", track_id), None, LONG)
    await waits.finish()
