"""One track, delivered to begin with, whose states are saved, put back and compared."""

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import Connection, select

from aggregates.tracks.track import Track
from application.account import deletion_requested_at
from identity.accounts.accounts import Accounts, account
from outbox.mirror.observe_only import is_account_observed
from outbox.mirror.tables import NEVER, blob_job, mirror_lane, mirror_target
from outbox.mirror.targets import MirrorTargets
from outbox.views.overview import lane_of
from service.schema.tables import READ_MODELS
from tests.dsl import ALICE, COLLECTION, START
from tests.fake_pds.account import Account
from tests.fake_pds.signed_in_pds import SignedInPds
from tests.outbox.rigs.relay_rig import RECORDS, Rig
from tests.outbox.rigs.wire import ANYONE, Fault, Wire, answered, refused
from tests.simulation.memory_database import driver_of, memory_database
from tests.simulation.virtual_time import VirtualLoop

State = tuple[object, ...]
HOME, ELSEWHERE = "http://pds.test", "http://new.test"
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


class SavedTrack(Rig):
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
            track = self.log.fold(Track, self.log.stream(connection, self.did, Track.create_id(1)))
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
        return is_settled and RECORDS.own_part(record["value"]) == RECORDS.own_part(
            RECORDS.record_of(track, 0)
        )

    def state(self) -> State:
        """All that decides what may happen next, without numbers and times."""
        with self.database.read() as connection:
            rows = connection.execute(select(mirror_target).order_by(mirror_target.c.collection)).all()
            [lane] = connection.execute(select(mirror_lane)).all()
            jobs = connection.execute(select(blob_job)).all()
            is_observed = is_account_observed(connection, self.did)
            is_leaving = deletion_requested_at(connection, self.did) is not None
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
            row.observed_body is None,
        )

    def relay_runs(self) -> None:
        self.loop.run(self.relay.run_once())
