"""The service in this process, with a fake PDS and a relay that runs when a test says so."""

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx
from sqlalchemy import select

from aggregates.tracks.track import Track
from application.errors import SupportersUnreachableError
from application.lists.liked import liked_list_kind
from application.lists.texts import album_texts_kind
from application.reactions import reaction_kind, recount_kind
from application.releases.publishing import Publishing
from eventstore.coordination.threads import Threads
from eventstore.idempotency import idempotency
from eventstore.jobs.worker import Worker
from eventstore.sql.schema import stored_event
from identity.accounts.credentials import CredentialKind, Scope
from identity.errors import UnknownIdentityError
from identity.resolution.resolver import FeaturedArtists
from outbox.blobs.worker import Uploads
from outbox.lists.references import references_kinds
from outbox.mirror.hosts import PacedPds
from outbox.mirror.lanes import resume_lane
from outbox.mirror.tables import blob_job, mirror_target
from outbox.pds.client import Pds
from outbox.probes.jobs import Probes
from outbox.record.kind import RecordKinds
from outbox.relay.delivery import Delivery
from outbox.relay.relay import RelayLimits
from outbox.repo.reads import RecordReads, RepoReads
from outbox.tracks.record import TrackRecords
from projections.media_references import media_references
from projections.tracks.queries import track_by_id
from replay.reconcile.verify import Verifier
from replay.repair.worker import RepairJobs
from service.wiring.adapters import StorageAudio
from service.wiring.bootstrap import build
from storage.media import media
from tests.api.client import TestClient
from tests.fake_pds.scripted_pds import HOST, ScriptedPds
from tests.media_samples import samples
from tests.outbox.rigs.directory import FakeDirectory
from tests.outbox.rigs.working_relay import WorkingRelay
from tests.rows import HasRows
from web.app import create_app


def did_of(name):
    return "did:plc:" + name.ljust(24, "a")


class Names:
    """A resolver that knows every handle that ends in .test."""

    def __init__(self):
        self.asked = []

    async def did_of(self, identifier):
        self.asked.append(identifier)
        if identifier.startswith("did:"):
            return identifier
        if not identifier.endswith(".test"):
            raise UnknownIdentityError(f"{identifier} points to no DID")
        return did_of(identifier.removesuffix(".test"))

    async def did_document(self, did):
        return {"id": did}

    async def verified_handle(self, did, _document, **_ignored):
        return did.removeprefix("did:plc:").rstrip("a") + ".test"


_documents = {}


def app_of(services):
    """An application with the document of an earlier one: making it costs as much as a hundred requests."""
    app, url = create_app(services), services.base_url
    make = app.openapi
    app.openapi = lambda: _documents.get(url) or _documents.setdefault(url, make())
    return app


@dataclass(frozen=True)
class Person:
    did: str
    handle: str
    token: str

    @property
    def headers(self):
        return {"Authorization": f"Bearer {self.token}"}


class World(HasRows):
    def __init__(self, settings):
        self.pds = ScriptedPds()
        self.made = build(settings)
        pds = PacedPds(self.pds, self.pds.http(), self.made.hosts)
        self.names = Names()
        self.services = replace(
            self.made.services,
            pds=pds,
            record_reads=RecordReads(pds),
            verifier=Verifier(self.made.database, RepoReads(pds), self.made.kinds),
            featured_artists=FeaturedArtists(self.names),
            not_ready_because=lambda: None,
        )
        self.log, self.database = self.made.log, self.made.database
        self.relay = WorkingRelay(
            self.log,
            Delivery(self.log, self.made.hosts, Pds(self.pds, self.pds.http())),
            Uploads(self.log, self.made.hosts, pds, StorageAudio(self.made.media)),
            Probes(self.database, pds, FakeDirectory(HOST)),
            self.services.kinds,
            owner="test",
            limits=RelayLimits(4, timedelta(seconds=60)),
        )
        repairs = RepairJobs(self.log, RepoReads(pds), self.services.kinds, Threads("repair", 4))
        self.repairs = Worker(self.database, [repairs.kind()], owner="test", lease=timedelta(seconds=60))
        threads = Threads("carriers", 1)
        lists = [each(self.log, threads) for each in (liked_list_kind, album_texts_kind)]
        parts, log = self.made, self.log
        releases = Publishing(log, parts.accounts, parts.kinds, parts.media, parts.publisher, threads)
        carriers = [
            *(each(log, threads) for each in (reaction_kind, recount_kind)),
            *lists,
            *references_kinds(log, threads),
            releases.kind(),
        ]
        self.carriers = Worker(self.database, carriers, owner="test", lease=timedelta(seconds=60))
        self.app = app_of(self.services)

    def serve(self, **changes):
        self.services = replace(self.services, **changes)
        self.app = app_of(self.services)
        return TestClient(self.app, raise_server_exceptions=False)

    def collects(self, collection, *, old):
        return self.serve(kinds=RecordKinds(TrackRecords(self.services.urls, collection, old)))

    def async_client(self, person=None):
        transport = httpx.ASGITransport(self.app)
        headers = person.headers if person else {}
        return httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)

    def sign_in(
        self,
        name,
        *,
        lane=True,
        scope=Scope.WRITE,
        expires_in=None,
        kind=CredentialKind.BROWSER,
        called="t",
    ):
        did, handle = did_of(name), f"{name}.test"
        with self.database.write() as connection:
            self.services.accounts.upsert(
                connection, did=did, handle=handle, pds_url=HOST, display_name=name.title()
            )
            issued = self.services.credentials.issue(
                connection, did=did, kind=kind, name=called, scope=scope, expires_in=expires_in
            )
            if lane:
                resume_lane(connection, did, HOST, self.database.now(connection))
        return Person(did, handle, issued.token.get_secret_value())

    def now(self):
        with self.database.read() as connection:
            return self.database.now(connection)

    def deliver(self):
        return asyncio.run(self.relay.run_once())

    def carry(self):
        """Have tracks show the likes and comments that were made or taken back, lists follow likes and tracks, and releases published."""
        return asyncio.run(self.carriers.run_once())

    def repair(self):
        return asyncio.run(self.repairs.run_once())

    def record(self, track):
        return self.pds.records.get(track["atproto_record_uri"])

    def events(self, track_id):
        with self.database.read() as connection:
            did = track_by_id(connection, track_id).did
            recorded = self.log.stream(connection, did, Track.create_id(track_id))
        return [type(each.event).__name__ for each in recorded]

    def state(self):
        """Everything that a refused request must not change: log, media and their bytes, targets, kept responses."""
        kept = select(
            *(column for column in media.c if column.name != "touched_at")
        )  # which only the sweep heeds
        tables = map(select, (stored_event, media_references, mirror_target, blob_job, idempotency))
        with self.database.read() as connection:
            rows = [sorted(repr(tuple(row)) for row in connection.execute(each)) for each in (*tables, kept)]
        return [*rows, sorted(stored.key for stored in self.made.media.store.stored())]


def upload(client, person, *, title="Song", seed=1, image=None, **fields):
    files = {"file": ("song.mp3", samples.mp3(seed), "audio/mpeg")}
    if image is not None:
        files["image"] = ("cover.png", image, "image/png")
    headers = {**person.headers, **fields.pop("headers", {})}
    answer = client.post("/tracks", data={"title": title, **form(fields)}, files=files, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def replace_audio(client, person, track, seed=2, **headers):
    files = {"file": ("song.mp3", samples.mp3(seed), "audio/mpeg")}
    return client.put(f"/tracks/{track['id']}/audio", files=files, headers={**person.headers, **headers})


def upload_with_all(client, person, **fields):
    """Upload a track that its artist likes and comments on, save a profile, have a list of likes, and make an album, a playlist and a release without it: the answer has the ids of all."""
    track, bodies = (
        upload(client, person, **fields),
        {"album": {"title": "A"}, "playlist": {"name": "A"}, "release": {}},
    )
    made = {
        kind: client.post(f"/{kind}s", json=body, headers=person.headers) for kind, body in bodies.items()
    }
    client.patch(f"/tracks/{track['id']}", json={"comments": True}, headers=person.headers)
    said = {"text": "A", "timestamp_ms": 1}
    made["comment"] = client.post(f"/tracks/{track['id']}/comments", json=said, headers=person.headers)
    made["like"] = client.put(f"/tracks/{track['id']}/like", headers=person.headers)
    made["liked"] = client.put("/me/likes/record", headers=person.headers)
    of_peer = client.post("/plyr/albums", json=bodies["album"], headers=person.headers).json()
    profile = client.patch("/me", json={"bio": "A"}, headers=person.headers).json()["profile"]
    ids = {f"{kind}_id": answer.json()["id"] for kind, answer in made.items()}
    rkey = made["playlist"].json()["uri"].rpartition("/")[2]
    return {**track, **ids, "profile_id": profile["id"], "album_uuid": of_peer["id"], "rkey": rkey}


def ids_of(track):
    """The names in paths of what `upload_with_all` has made."""
    names = (
        "like_id",
        "comment_id",
        "liked_id",
        "profile_id",
        "album_id",
        "playlist_id",
        "release_id",
        "album_uuid",
        "rkey",
    )
    return {"track_id": track["id"], **{name: track[name] for name in names}}


def form(fields):
    """Fields as a form sends them: structured ones as JSON text."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}


def refusal(answer):
    """The status and code of an error, which must have the one shape."""
    detail = answer.json()["detail"]
    assert isinstance(detail["message"], str)
    assert detail["message"]
    return answer.status_code, detail["error"]


class Vouching:
    def __init__(self, *pairs):
        self.pairs = pairs

    async def supports(self, artist, supporter):
        if not self.pairs:
            raise SupportersUnreachableError
        return (artist, supporter) in self.pairs
