"""Records in a PDS in memory, and an internet whose addresses a test fills."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from aggregates.tracks.track import Track
from application.operators import Takedown, decide_takedown
from eventstore.change import Envelope
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.unit_of_work import UnitOfWork
from identity.resolution.address_policy import AddressPolicy
from outbox.lists.items import ListItems
from outbox.lists.record import ListRecords
from outbox.mirror.hosts import Hosts
from outbox.mirror.targets import MirrorTargets
from outbox.operations.operators import Operator
from outbox.pds.client import Pds
from outbox.profiles.record import ProfileRecords
from outbox.reactions.record import CommentRecords, LikeRecords
from outbox.record.dag_cbor import record_cid
from outbox.repo.reads import RepoReads
from outbox.tracks.record import RecordUrls, TrackRecords
from outbox.views.status import Mirror, mirrors
from projections.tracks.queries import track_page
from replay.adoption.adopt import LISTING_TIMEOUT_SECONDS, Adoption, Turn
from replay.adoption.fetcher import Fetcher, OthersAddresses
from replay.adoption.intake import Intake
from replay.adoption.list import ListIntake
from replay.adoption.plain import PlainIntake, ReactionIntake
from replay.adoption.record import Progress
from replay.reconcile.verify import Repo
from service.schema.tables import READ_MODELS
from storage.cid import cid_of
from storage.media import Media, MediaState, media
from storage.parsers import Parsers
from storage.public.publisher import Publisher
from storage.stores.disk import DiskStore
from storage.taken_down import TakenDownBytes
from tests.dsl import ALICE, COLLECTION, OLD_COLLECTION
from tests.e2e.foreign_catalogue import a_record, rkey
from tests.media_samples import samples
from tests.outbox.rigs.relay_rig import ARTIST
from tests.rows import HasRows
from tests.storage.public.public_rig import Clock

HOST, SERVICE, ELSEWHERE = "https://pds.music.com", "https://service.music.com", "https://cdn.music.com"
PAGE = 3


Answer = Callable[[], httpx.Response]


@dataclass
class Internet:
    """A PDS, and whatever else has an address."""

    records: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """By collection and key."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    addresses: dict[str, Answer] = field(default_factory=dict)
    blob_answers: list[Answer] = field(default_factory=list)
    """What the PDS says to the next requests for blobs, instead."""
    away: bool = False
    asked: list[str] = field(default_factory=list)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def holds(self, address: str, data: bytes) -> str:
        self.addresses[address] = lambda: httpx.Response(200, content=data)
        return address

    def record(self, number: int, collection: str = COLLECTION, **fields: Any) -> str:
        """A record with a blob of its own, unless the fields say something else; gives its URI."""
        if "audioBlob" not in fields and "audioUrl" not in fields:
            fields["audioBlob"] = self.blob(samples.mp3(number))
        self.records[collection, rkey(number)] = a_record(number, collection, **fields)
        return f"at://{ALICE}/{collection}/{rkey(number)}"

    def blob(self, data: bytes, *, kept: bytes | None = None) -> dict[str, Any]:
        """A reference to bytes, which the PDS holds, or other ones."""
        cid = cid_of(data)
        self.blobs[cid] = data if kept is None else kept
        return {"$type": "blob", "ref": {"$link": cid}, "mimeType": "audio/mpeg", "size": len(data)}

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        nsid = request.url.path.rsplit(".", 1)[-1]
        if f"{request.url.scheme}://{request.url.host}" != HOST:
            return self.addresses.get(str(request.url), lambda: httpx.Response(404))()
        if self.away:
            raise httpx.ConnectError("away")
        return self._blob(request) if nsid == "getBlob" else self._page(dict(request.url.params))

    def _blob(self, request: httpx.Request) -> httpx.Response:
        if self.blob_answers:
            return self.blob_answers.pop(0)()
        data = self.blobs.get(request.url.params["cid"])
        if data is None:
            return httpx.Response(400, json={"error": "BlobNotFound", "message": "Blob not found"})
        return httpx.Response(200, content=data)

    def _page(self, wanted: dict[str, str]) -> httpx.Response:
        keys = sorted(key for name, key in self.records if name == wanted["collection"])
        page = [key for key in keys if key > wanted.get("cursor", "")][:PAGE]
        entries = [
            {
                "uri": f"at://{ALICE}/{wanted['collection']}/{key}",
                "cid": record_cid(self.records[wanted["collection"], key]),
                "value": self.records[wanted["collection"], key],
            }
            for key in page
        ]
        return httpx.Response(200, json={"records": entries, **({"cursor": page[-1]} if page else {})})


def adoption_on(
    log: EventLog,
    media: Media,
    http: httpx.AsyncClient,
    staging: Path,
    publisher: Publisher | None = None,
) -> Adoption:
    threads, others = Threads("adoption", 12), OthersAddresses(AddressPolicy(), [SERVICE])
    fetcher = Fetcher(http, others.policy, staging, Hosts(media.database), threads)
    return Adoption(
        log,
        RepoReads(Pds(None, http), list_seconds=LISTING_TIMEOUT_SECONDS),  # type: ignore[arg-type] - nothing is written
        [
            Intake(
                TrackRecords(RecordUrls(SERVICE), COLLECTION, OLD_COLLECTION),
                fetcher,
                others,
                media,
                Parsers(),
                publisher,
                threads,
                threads,
                max_audio_bytes=100_000,
            ),
            ReactionIntake(LikeRecords(), media.database),
            ReactionIntake(CommentRecords(), media.database),
            ListIntake(ListRecords()),
            PlainIntake(ProfileRecords(RecordUrls(SERVICE).artwork)),
        ],
        threads,
        host_of=host_of,
    )


async def host_of(_did: str) -> str:
    return HOST


async def adopt_all(adoption: Adoption, envelope: Envelope = ARTIST) -> Progress:
    progress = Progress()
    turn = Turn(
        adoption, Repo(ALICE, HOST), envelope, progress, lambda _progress: None, lambda _connection: True
    )
    await turn.run()
    return progress


class AdoptRig(HasRows):
    def __init__(self, database: Database, folder: Path, internet: Internet, clock: "Clock") -> None:
        self.database, self.internet, self.clock = database, internet, clock
        self.log = EventLog(
            database, projections=(*READ_MODELS, ListItems(), MirrorTargets(), TakenDownBytes())
        )
        self.media = Media(database, DiskStore(folder / "media"))
        self.http = internet.client()
        self.adoption = adoption_on(self.log, self.media, self.http, folder / "staging")
        self.staging = folder / "staging"
        """Where nothing is left in the end."""

    def takes_down(self, track_id: int) -> None:
        command = Takedown(Track, track_id, owner=ALICE, reason="a claim", with_bytes=True)
        decide_takedown(self.log, command, Operator(Envelope("did:plc:op", "operator", "r")))

    async def adopts(self, envelope: Envelope = ARTIST) -> Progress:
        return await adopt_all(self.adoption, envelope)

    def tracks(self) -> dict[str, Any]:
        with self.database.read() as connection:
            return {view.title: view for view in track_page(connection, limit=100).items}

    def track(self, track_id: int) -> Track:
        with self.database.read() as connection:
            track = self.log.fold(Track, self.log.stream(connection, ALICE, Track.create_id(track_id)))
        assert track is not None
        return track

    def change(self, track: Track, step: Callable[[Track], None]) -> None:
        def commit(unit: UnitOfWork) -> None:
            loaded = unit.load(Track, track.id)
            step(loaded)
            unit.save(loaded)

        self.log.transact(track.did, ARTIST, commit)

    def live(self) -> Sequence[Any]:
        with self.database.read() as connection:
            return connection.execute(media.select().where(media.c.state == MediaState.LIVE)).all()

    def mirror(self, track_id: int) -> Mirror:
        with self.database.read() as connection:
            return mirrors(connection, ALICE, "track", [track_id])[track_id]


@asynccontextmanager
async def adopt_rig(url: str, folder: Path, clock: Clock | None = None) -> AsyncIterator[AdoptRig]:
    clock = clock or Clock()
    database = Database(url, clock=clock)
    made = AdoptRig(database, folder, Internet(), clock)
    yield made
    assert not list(made.staging.glob("*"))
    await made.http.aclose()
    database.close()


@pytest.fixture
async def rig(migrated_url: str, tmp_path: Path) -> AsyncIterator[AdoptRig]:
    async with adopt_rig(migrated_url, tmp_path) as made:
        yield made
