"""One track in every state that its owner, operators, other clients and its PDS bring about; states are saved and put back."""

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import Connection, select

from aggregates.track import Track
from application.account_deletion import continue_deletion, leaving_since, request_deletion
from application.authorization import OnTrack
from application.records.change_namespace import ChangeNamespace, change_namespace
from application.records.resolve import Resolution, Resolve, resolve
from application.records.restore_record import OnPds, RestoreRecord, restore_record
from application.tracks.delete import undelete_track
from eventstore.coordination.threads import Threads
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import Accounts, account
from outbox.mirror.lanes import park_lane
from outbox.mirror.observe_only import is_account_observed
from outbox.mirror.parking import request_probe
from outbox.mirror.requeue import reverify
from outbox.mirror.tables import NEVER, blob_job, mirror_lane, mirror_target
from outbox.mirror.targets import MirrorTargets
from outbox.operations.operators import Action, Operator, Selector, perform
from outbox.pds.client import Pds, RemoteUnknownError
from outbox.record.record import own_part, record_for
from outbox.repo.reads import RepoReads
from outbox.views.overview import lane_of
from projections.read_models import READ_MODELS
from replay.reconcile.verify import compare, repos_of
from replay.recovered import recover, resume_account
from storage.errors import MediaGoneError
from tests.dsl import ALICE, COLLECTION, OLD_COLLECTION, START
from tests.fake_pds.account import Account, Status
from tests.fake_pds.signed_in_pds import SignedInPds
from tests.outbox.rigs.relay_rig import ANYONE, ARTIST, URLS, Fault, Rig, Wire, answered, refused
from tests.simulation.memory_database import driver_of, memory_database
from tests.simulation.virtual_time import VirtualLoop

State = tuple[object, ...]
HOME, ELSEWHERE = "http://pds.test", "http://new.test"
PLACES = (OLD_COLLECTION, COLLECTION)
UNTAKEN_TITLE = "not for this PDS"
STANDING: dict[str, tuple[str, Fault]] = {
    "refuses records": ("putRecord", answered(400, "InvalidRecord")),
    "fails on records": ("putRecord", answered(500, "InternalServerError")),
    "refuses audio": ("uploadBlob", answered(400, "BlobTooLarge")),
    "ends the login": ("", answered(401, "ExpiredToken")),
    "is away": ("", refused),
}
"""What the PDS does until it is healed, and to which requests."""


class VirtualClock:
    """The database's time."""

    def __init__(self) -> None:
        self.now, self._readings = START, 0

    def __call__(self) -> datetime:
        self._readings += 1  # never the same time twice, also after a state was put back
        return self.now + timedelta(microseconds=self._readings)

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class MoodyWire(Wire):
    """Requests that meet the PDS's standing fault."""

    standing: str | None = None
    is_away: bool = False

    async def request(self, did: str, method: str, nsid: str, *, json: Any = None, **options: Any) -> Any:
        name, fault = STANDING[self.standing] if self.standing is not None else ("", None)
        if fault is not None and nsid.endswith(name):
            self.faults[:] = [fault]
        elif ((json or {}).get("record") or {}).get("title") == UNTAKEN_TITLE:
            self.faults[:] = [answered(400, "InvalidRecord", "this title is not allowed")]
        self.sent.clear()
        return await super().request(did, method, nsid, json=json, **options)


@dataclass
class Saved:
    """A state to which the track can be put back."""

    database: bytes
    accounts: dict[str, tuple[dict[str, Account], dict[str, Account]]]
    now: datetime
    moved: dict[str, str | None]
    audio: dict[str, bytes]
    at: str
    standing: str | None
    faults: list[Fault]
    is_relaying: bool = True
    path: tuple[str, ...] = field(default=())


class OneTrack(Rig):
    """The track 1, delivered to begin with."""

    PROJECTIONS = (*READ_MODELS, MirrorTargets())

    def __init__(self, loop: VirtualLoop, *, collection: str = COLLECTION) -> None:
        self.loop, self.is_relaying = loop, True
        clock = VirtualClock()
        self.pdses = {url: SignedInPds(url) for url in (HOME, ELSEWHERE)}
        for pds in self.pdses.values():
            pds.clock = lambda: clock().timestamp()

        async def answer(request: httpx.Request) -> httpx.Response:
            pds = self.pdses[f"{request.url.scheme}://{request.url.host}"]
            return pds.answer(request, await request.aread())

        http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        wire = MoodyWire(self.pdses[HOME], http, ANYONE, "token", at=HOME)
        super().__init__(memory_database(clock), self.pdses[HOME], ALICE, wire, clock)  # type: ignore[arg-type]
        self.mood = wire
        with self.database.write() as connection:
            self._known(connection)
        self.rkey = self.upload(collection=collection).rkey
        self.relay_runs()
        self.backup = driver_of(self.database).serialize()

    def _known(self, connection: Connection) -> None:
        Accounts(self.database).upsert(
            connection, did=self.did, handle="alice.test", pds_url=self.home.url, display_name="Alice"
        )

    # Saving.

    def save(self, path: tuple[str, ...] = ()) -> Saved:
        return Saved(
            driver_of(self.database).serialize(),
            {url: deepcopy((pds.accounts, pds.deleted)) for url, pds in self.pdses.items()},
            self.clock.now,  # type: ignore[attr-defined]
            dict(self.directory.moved),
            dict(self.bytes.held),
            self.wire.at,
            self.mood.standing,
            list(self.wire.faults),
            self.is_relaying,
            path,
        )

    def put_back(self, saved: Saved) -> None:
        driver_of(self.database).deserialize(saved.database)
        for url, pds in self.pdses.items():
            pds.accounts, pds.deleted = deepcopy(saved.accounts[url])
        self.clock.now = saved.now  # type: ignore[attr-defined]
        self.directory.moved = dict(saved.moved)
        self.bytes.held = dict(saved.audio)
        self.wire.at, self.wire.pds = saved.at, self.pdses[saved.at]
        self.mood.standing, self.is_relaying = saved.standing, saved.is_relaying
        self.wire.faults[:] = saved.faults

    # What is to be seen.

    @property
    def home(self) -> SignedInPds:
        return self.pdses[self.directory.moved.get(self.did) or HOME]

    @property
    def account(self) -> Account | None:
        return self.home.accounts.get(self.did)

    @property
    def track(self) -> Track:
        with self.database.read() as connection:
            track = self.log.fold(Track, self.log.stream(connection, Track.create_id(1)))
        assert track is not None
        return track

    def record_in(self, collection: str) -> dict[str, Any] | None:
        return self.home.get_record(self.did, collection, self.rkey)

    @property
    def lane_reason(self) -> str:
        """As `GET /me/mirror` shows it."""
        with self.database.read() as connection:
            row = lane_of(connection, self.did)
        return str(row.mirror_state)

    @property
    def is_erased(self) -> bool:
        with self.database.read() as connection:
            return connection.scalar(select(account.c.did)) is None

    def is_at_rest(self) -> bool:
        """Whether the PDS holds what the log says, and the mirror says so; or the account is erased."""
        if self.is_erased:
            return True
        track, is_settled = self.track, self.mirror().is_settled
        record = self.record_in(track.collection) if self.account is not None else None
        if track.deleted_at is not None or record is None:
            return is_settled and track.deleted_at is not None and record is None
        return is_settled and own_part(record["value"]) == own_part(record_for(track, 0, URLS))

    def state(self) -> State:
        """All that decides what may happen next, without numbers and times."""
        with self.database.read() as connection:
            rows = connection.execute(select(mirror_target).order_by(mirror_target.c.collection)).all()
            [lane] = connection.execute(select(mirror_lane)).all()
            jobs = connection.execute(select(blob_job)).all()
            is_observed = is_account_observed(connection, self.did)
            is_leaving = leaving_since(connection, self.did) is not None
        track, now = self.track, self.clock()
        return (
            *(self._state_of(row) for row in rows),
            (lane.state, lane.host, lane.paused, lane.not_before > now, lane.probe_at < NEVER, is_observed),
            *((job.requested, job.again, job.attempts > 0, job.last_error is None) for job in jobs),
            (track.deleted_at is None, track.record_missing_since is None, track.foreign_edit is None),
            (track.collection, track.support_gate, track.blob is None, track.blob_requested),
            (track.blob_failure, track.title == UNTAKEN_TITLE, track.audio.cid in self.bytes.held),
            (self.mood.standing, bool(self.wire.faults), self.is_relaying, self.wire.at, self.home.url),
            (self.account.status if self.account is not None else None, self.is_erased, is_leaving),
        )

    def _state_of(self, row: Any) -> State:
        found = self.record_in(row.collection)
        cid = found["cid"] if found is not None else None
        return (
            (row.collection, row.former, row.desired_op, row.state, row.reason, row.detached, row.ever_sent),
            (row.desired_gen > row.acked_gen, row.failed_gen >= row.desired_gen, row.attempts > 0),
            (row.cleared_gen >= row.desired_gen, row.look_at < NEVER, row.not_before > self.clock()),
            (cid is None, row.observed_cid is None, row.observed_cid == cid),
            (row.conflict_cid is None, row.conflict_cid == cid, row.conflict_body is None),
        )

    # What happens.

    def relay_runs(self) -> None:
        self.loop.run(self.relay.run_once())

    def passes(self, **by: float) -> None:
        """Time passes, scans compare the repo, and the relay does its work."""
        self.clock.advance(**by)
        for _ in range(2):
            with self.database.write() as connection:
                reverify(connection, [1], self.clock())
                if not self._is_where_its_lane_is(connection):
                    request_probe(connection, self.did, self.clock())
            self.relay_runs()
        self.continues_deletion()

    def _is_where_its_lane_is(self, connection: Connection) -> bool:
        host = connection.scalar(select(mirror_lane.c.host))
        there = self.pdses[host].accounts.get(self.did) if host else self.account
        return there is not None and there.status is Status.ACTIVE

    def heal(self) -> None:
        """The PDS, the account on it and the relay work again, and the operator has brought lost audio back."""
        self.mood.standing, self.is_relaying = None, True
        self.wire.faults.clear()
        if self.account is not None:
            self.account.status = Status.ACTIVE
        self.bytes.held.setdefault(self.track.audio.cid, b"audio 1" * 500)

    def gives(self, work: Callable[[UnitOfWork], object]) -> None:
        """The owner gives a command."""
        with self.log.unit_of_work(self.did, ARTIST) as unit:
            work(unit)

    def tells(self, command: Callable[[Track], None]) -> None:
        self.command(1, command)

    def restores_record(self) -> None:
        found = OnPds.PRESENT if self.record_in(self.track.collection) is not None else OnPds.ABSENT
        given = RestoreRecord(1, on_pds=found, old_collection=OLD_COLLECTION, collection=COLLECTION)
        self.gives(lambda unit: restore_record(unit, given))

    def resolves(self, keep: Resolution) -> None:
        self.gives(lambda unit: resolve(unit, Resolve(1, keep=keep), URLS))

    def changes_namespace(self) -> None:
        given = ChangeNamespace(1, old_collection=OLD_COLLECTION, collection=COLLECTION)
        self.gives(lambda unit: change_namespace(unit, given))

    def undeletes(self) -> None:
        self.gives(lambda unit: undelete_track(unit, OnTrack(1), self))  # type: ignore[arg-type]

    def pin(self, _connection: Connection, cids: list[str]) -> None:
        """As the media does when the track comes back."""
        if self.track.audio.cid not in self.bytes.held and cids:
            raise MediaGoneError(cids[0])

    def signs_in(self) -> None:
        if self.account is None or self.account.status is not Status.ACTIVE:
            return
        if self.mood.standing == "ends the login":
            self.mood.standing = None
        self.wire.at, self.wire.pds = self.home.url, self.home
        self.sign_in(host=self.home.url)
        with self.database.write() as connection:
            self._known(connection)

    def signs_out(self) -> None:
        with self.database.write() as connection:
            park_lane(connection, self.did)

    def operator(self, action: Action, **which: str) -> None:
        perform(self.log, action, Selector(**which or {"did": self.did}), Operator(ARTIST))

    def leaves(self) -> None:
        """The owner deletes the account here."""
        request_deletion(self.log, self.did, ARTIST)

    def continues_deletion(self) -> None:
        with self.database.read() as connection:
            if leaving_since(connection, self.did) is None:
                return

        async def disconnect(_did: str, _by: object) -> bool:
            return True

        self.loop.run(continue_deletion(self.log, self.did, ARTIST, disconnect, Threads("deletion", 1)))

    def database_is_restored(self) -> None:
        """To the backup, in which the track was just delivered."""
        driver_of(self.database).deserialize(self.backup)
        self.is_recovered()

    def is_recovered(self) -> None:
        recover(self.log)

    def is_verified(self) -> None:
        async def verify_pds() -> None:
            reads = RepoReads(Pds(self.wire, self.wire.http))
            for repo in repos_of(self.database, collection=COLLECTION):
                found = await compare(self.database, reads, repo, with_blobs=False)
                resume_account(self.log, found, URLS, ARTIST)

        with suppress(RemoteUnknownError):
            self.loop.run(verify_pds())

    def others_write(self, collection: str | None = None, **fields: Any) -> None:
        """Another client writes the record, or one in the other collection."""
        name = collection or self.track.collection
        found = self.record_in(name) or self.record_in(self.track.collection)
        if found is not None and self.account is not None:
            value = {**found["value"], "$type": name, **fields}
            self.home.put_record(self.did, name, self.rkey, value)

    def others_delete(self) -> None:
        if self.record_in(self.track.collection) is not None and self.account is not None:
            self.home.delete_record(self.did, self.track.collection, self.rkey)

    def moves_host(self) -> None:
        if self.account is not None and self.home.url == HOME:
            self.home.move_account(self.did, self.pdses[ELSEWHERE])
            self.directory.moved[self.did] = ELSEWHERE

    def is_deleted_at_its_pds(self) -> None:
        if self.account is not None:
            self.home.delete_account(self.did)
            self.directory.moved[self.did] = None

    def stands(self, status: Status) -> None:
        if self.account is not None:
            self.account.status = status

    def pds_is(self, standing: str) -> None:
        self.mood.standing = standing

    def pds_loses_audio(self) -> None:
        if self.account is not None:
            self.account.repo.blobs.clear()
