"""What brings one track into its states: its owner, operators, other clients, its PDS and time."""

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, select

from aggregates.tracks.track import Track
from application.account import continue_deletion, deletion_requested_at, request_deletion
from application.records import (
    Decision,
    OnPds,
    Resolution,
    change_namespace,
    resolve,
    restore_record,
)
from application.subjects import On, delete_owned, load_owned
from application.tracks.commands import Undelete, change_track
from eventstore.coordination.threads import Threads
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.lanes import park_lane
from outbox.mirror.namespace_moves import is_accounted_for
from outbox.mirror.parking import request_probe
from outbox.mirror.requeue import reverify
from outbox.mirror.tables import mirror_lane
from outbox.operations.operators import Action, Operator, Selector, perform
from outbox.pds.client import Pds, RecordKey, RemoteUnknownError
from outbox.repo.reads import RepoReads
from replay.reconcile.verify import Verifier, repos_of
from replay.recovered import recover, resume_account
from storage.errors import MediaGoneError
from tests.dsl import COLLECTION, OLD_COLLECTION
from tests.fake_pds.account import Status
from tests.outbox.rigs.relay_rig import ARTIST, KINDS, RECORDS
from tests.simulation.memory_database import driver_of
from tests.simulation.saved_track import ELSEWHERE, HOME, SavedTrack


class OneTrack(SavedTrack):
    def passes(self, **by: float) -> None:
        """Time passes, scans compare the repo, and the relay does its work."""
        self.clock.advance(**by)
        with self.database.write() as connection:
            reverify(connection, Track.subjects([1]), self.clock())
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
        with self.log.unit_of_work(self.did, ARTIST) as unit:
            work(unit)

    def owned(self, unit: UnitOfWork) -> Track:
        return load_owned(unit, On(Track, 1))

    def tells(self, command: Callable[[Track], None]) -> None:
        self.command(1, command)

    def restores_record(self, found: OnPds | None = None) -> None:
        """The owner has the record restored, after a look at the PDS that `found` this; by default what there is."""
        here = OnPds.PRESENT if self.record_in(self.track.collection) is not None else self._found_in_old()
        self.gives(lambda unit: restore_record(unit, self.owned(unit), RECORDS, found or here))

    def _found_in_old(self) -> OnPds:
        """What a look in the old collection finds, which is made only where the log does not say what is there."""
        with self.database.read() as connection:
            if is_accounted_for(connection, RecordKey(self.did, OLD_COLLECTION, self.rkey), Track.TOPIC, 1):
                return OnPds.ABSENT
        return OnPds.ABSENT if self.record_in(OLD_COLLECTION) is None else OnPds.IN_OLD_COLLECTION

    def resolves(self, keep: Resolution) -> None:
        self.gives(lambda unit: resolve(unit, self.owned(unit), RECORDS, Decision(keep)))

    def changes_namespace(self) -> None:
        found = self._found_in_old()
        self.gives(lambda unit: change_namespace(unit, self.owned(unit), RECORDS, found))

    def undeletes(self) -> None:
        self.gives(lambda unit: change_track(unit, Undelete(Track, 1), self))  # type: ignore[arg-type]

    def require(self, cids: Collection[str], _now: object) -> None:
        if self.track.audio.cid not in self.bytes.held and cids:
            raise MediaGoneError(min(cids))

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
        request_deletion(self.log, self.did, ARTIST, credential_id="the session that asks")

    def continues_deletion(self) -> None:
        with self.database.read() as connection:
            if deletion_requested_at(connection, self.did) is None:
                return

        async def disconnect(_did: str, _by: object) -> bool:
            return True

        self.loop.run(continue_deletion(self.log, self.did, ARTIST, disconnect, Threads("deletion", 1)))

    def database_is_restored(self, backup: bytes | None = None) -> None:
        """To this backup, or the one in which the track was just delivered."""
        driver_of(self.database).deserialize(backup or self.backup)
        self.is_recovered()

    def deletion_is_restored(self) -> None:
        """The owner deletes the track and undeletes it; the database is restored to between the two."""
        self.gives(lambda unit: delete_owned(unit, On(Track, 1)))
        self.relay_runs()
        backup = driver_of(self.database).serialize()
        self.undeletes()
        self.relay_runs()
        self.database_is_restored(backup)

    def is_recovered(self) -> None:
        recover(self.log)

    def is_verified(self) -> None:
        async def verify_pds() -> None:
            reads = RepoReads(Pds(self.wire, self.wire.http))
            for repo in repos_of(self.database, collections=[COLLECTION]):
                found = await Verifier(self.database, reads).compare(repo)
                resume_account(self.log, found, KINDS, ARTIST)

        with suppress(RemoteUnknownError):
            self.loop.run(verify_pds())

    def others_write(self, collection: str | None = None, **fields: Any) -> None:
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

    def is_nowhere_for_days(self) -> None:
        """And is back then."""
        home, moved = self.home, self.directory.moved.copy()
        self.is_deleted_at_its_pds()
        self.passes(hours=2)
        self.passes(days=4)
        self.directory.moved = moved
        home.let_stand(self.did, None)

    def stands(self, status: Status) -> None:
        if self.account is not None:
            self.account.status = status

    def pds_is(self, standing: str) -> None:
        self.mood.standing = standing

    def pds_loses_audio(self) -> None:
        if self.account is not None:
            self.account.repo.blobs.clear()
