"""A database is put back to an earlier point, and its PDS is ahead: nothing newer is lost, and no number issued twice."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from aggregates.tracks.track import Track
from aggregates.values import SupportGate
from eventstore.coordination.restore_detection import (
    POSITIONS_SKIPPED,
    TRACK_IDS_SKIPPED,
    detect_on_connect,
    restored_because,
)
from eventstore.streams.buckets import BUCKETS
from eventstore.streams.ids import next_subject_id
from identity.sessions.session_store import SessionKind, pds_session
from outbox.conflicts.conflicts import conflict_of
from outbox.mirror.observe_only import is_account_observed
from outbox.mirror.tables import mirror_lane
from outbox.operations.account_deletion import close_lane
from outbox.pds.client import Pds
from outbox.repo import reads
from outbox.repo.reads import RepoReads
from replay.reconcile.drift import DriftKind
from replay.reconcile.verify import Verified, Verifier, repos_of
from replay.recovered import preview_recovery, recover, resume_account
from tests.dsl import COLLECTION
from tests.outbox.rigs.foreign_writes import garble, scan
from tests.outbox.rigs.relay_rig import ARTIST, KINDS, RECORDS, Rig
from tests.replay.backups import Backup, backup_of
from tests.servers.databases import AND_CITUS

GATE = SupportGate("any")
KEPT = pytest.mark.parametrize("kept", [reads.MAX_KEPT_BYTES, 0], ids=["kept", "too much to keep"])
"""How many bytes of what is newer a comparison keeps."""
pytestmark = [pytest.mark.anyio, pytest.mark.databases("sqlite", *AND_CITUS)]


@pytest.fixture(name="looked_at")
def _known(desk: Rig) -> Rig:
    """A rig whose database knows itself."""
    detect_on_connect(desk.database)
    desk.database.close()
    return desk


async def verified(rig: Rig) -> Verified:
    [repo] = repos_of(rig.database, collections=[COLLECTION])
    return await Verifier(rig.database, RepoReads(Pds(rig.wire, rig.wire.http))).compare(repo)


async def recovered_and_verified(rig: Rig) -> Verified:
    recover(rig.log)
    found = await verified(rig)
    assert resume_account(rig.log, found, KINDS, ARTIST)
    return found


def kinds(found: Verified) -> dict[str, DriftKind]:
    return {drift.key.rkey: drift.kind for drift in found.drifts}


async def deliver(rig: Rig, times: int = 3) -> None:
    for _ in range(times):
        await rig.relay_once()


@pytest.fixture
async def then(looked_at: Rig, tmp_path: Path) -> AsyncIterator[tuple[Rig, Backup, list[Track]]]:
    rig = looked_at
    tracks = [rig.upload(number, description=f"then {number}") for number in range(1, 5)]
    await deliver(rig)
    with backup_of(rig, tmp_path) as backup:
        yield rig, backup, tracks


async def test_nothing_is_sent_between_a_restore_and_its_recovery(then) -> None:
    now, backup, tracks = then
    now.edit(1, title="newer")
    await deliver(now)
    async with backup.restored() as rig:
        with rig.database.read() as connection:
            assert restored_because(connection)
        rig.edit(2, title="edited before the detection")
        rig.command(3, lambda track: track.request_blob_migration(at=rig.clock()))
        rig.sign_in()
        sent = list(rig.wire.sent)
        await deliver(rig)
        assert rig.wire.sent == sent
        assert (rig.mirror(2).state, rig.mirror(2).reason) == ("parked", "restored")
        recover(rig.log)
        await deliver(rig)
        assert rig.wire.sent == sent
        resume_account(rig.log, await verified(rig), KINDS, ARTIST)
        await deliver(rig)
        assert rig.remote(tracks[1])["title"] == "edited before the detection"
        assert rig.remote(tracks[2])["audioBlob"]


@KEPT
async def test_what_is_newer_is_held_and_its_owner_decides(
    *, then, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_KEPT_BYTES", kept)
    now, backup, tracks = then
    for number in (1, 2):
        now.edit(number, title=f"newer {number}")
    await deliver(now)
    newer = [now.remote(track) for track in tracks]
    async with backup.restored() as rig:
        found = await recovered_and_verified(rig)
        assert kinds(found) == dict.fromkeys((tracks[0].rkey, tracks[1].rkey), DriftKind.NEWER)
        await deliver(rig)
        assert [rig.remote(track) for track in tracks] == newer
        assert [rig.mirror(number).state for number in (1, 2, 3)] == ["held", "held", "delivered"]
        with rig.database.read() as connection:
            conflict = conflict_of(connection, rig.did, RECORDS, 1)
        assert (conflict.fields, conflict.theirs["title"]) == (["title"], "newer 1")
        rig.edit(1, title="ours")
        await deliver(rig)
        assert rig.remote(tracks[0])["title"] == "newer 1"


async def test_a_track_that_was_gated_since_is_gated_again_and_not_served_openly(then) -> None:
    now, backup, tracks = then
    for number in (1, 2):
        now.command(number, lambda track: track.set_support_gate(GATE, at=now.clock()))
    now.edit(2, title="newer")
    await deliver(now)
    newer = [now.remote(track) for track in tracks]
    async with backup.restored() as rig:
        await recovered_and_verified(rig)
        await deliver(rig)
        gates = [rig.command(number, lambda _track: None).support_gate for number in (1, 2, 3)]
        assert gates == [GATE, GATE, None]
        assert [rig.mirror(number).state for number in (1, 2)] == ["delivered", "held"]
        assert [rig.remote(track) for track in tracks] == newer


async def test_no_position_and_no_track_id_is_issued_twice(then) -> None:
    now, backup, _ = then
    for number in range(10):
        now.edit(1, title=f"newer {number}")
    with now.database.write() as connection:
        for _ in range(5):
            lost = next_subject_id(connection, now.did)
    last = now.log.read(after=0, until=10**12, limit=1000)[-1].position
    async with backup.restored() as rig:
        rig.edit(2, title="before the recovery")
        assert rig.log.read(after=0, until=10**12, limit=1000)[-1].position > last + POSITIONS_SKIPPED / 2
        with rig.database.write() as connection:
            new = next_subject_id(connection, rig.did)
        assert new // BUCKETS > lost // BUCKETS + TRACK_IDS_SKIPPED / 2


@pytest.fixture(params=[False, True], ids=["still to be sent", "confirmed"])
async def deleted(
    request: pytest.FixtureRequest, looked_at: Rig, tmp_path: Path
) -> AsyncIterator[tuple[Backup, Track]]:
    """A track whose delete was still to be sent at the time of the backup, or was confirmed; it was undeleted since."""
    now = looked_at
    track = now.upload(1)
    now.upload(2)
    await deliver(now)
    now.command(1, lambda each: each.delete(at=now.clock()))
    if request.param:
        await deliver(now)
    with backup_of(now, tmp_path) as backup:
        await deliver(now)
        assert now.remote(track) is None
        now.command(1, lambda each: each.undelete(at=now.clock()))
        await deliver(now)
        yield backup, track


@KEPT
async def test_a_delete_of_then_does_not_take_what_was_undeleted_since(
    *, deleted, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_KEPT_BYTES", kept)
    backup, track = deleted
    async with backup.restored() as rig:
        assert kinds(await recovered_and_verified(rig)) == {track.rkey: DriftKind.NEWER}
        await deliver(rig)
        assert rig.remote(track) is not None
        assert (rig.mirror().state, rig.mirror().reason) == ("rejected", "newer_on_pds")
        rig.retry()
        await deliver(rig)
        assert rig.remote(track) is None


async def test_a_delete_of_then_waits_where_the_record_could_not_be_read(
    looked_at: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = looked_at
    track = now.upload(1)
    await deliver(now)
    now.command(1, lambda each: each.delete(at=now.clock()))
    with backup_of(now, tmp_path) as backup:
        now.command(1, lambda each: each.undelete(at=now.clock()))
        now.edit(1, title="newer")
        await deliver(now)
        async with backup.restored() as rig:
            with monkeypatch.context() as patched:
                garble(rig, patched)
                found = await recovered_and_verified(rig)
            assert (found.drifts, {key.rkey for key in found.unjudged}) == ((), {track.rkey})
            await deliver(rig)
            assert rig.remote(track)["title"] == "newer"
            assert (rig.mirror().state, rig.mirror().reason) == ("rejected", "newer_on_pds")


async def test_a_delete_that_waits_for_its_owner_is_over_once_the_newer_record_is_gone(deleted) -> None:
    backup, track = deleted
    async with backup.restored() as rig:
        await recovered_and_verified(rig)
        assert rig.mirror().reason == "newer_on_pds"
        rig.pds.delete_record(rig.did, COLLECTION, track.rkey)
        assert (await scan(rig)).drifts == {"withdrawn": 1}
        await deliver(rig)
        assert rig.mirror().state == "delivered"


async def test_what_was_delivered_since_and_says_the_same_is_taken_for_delivered(
    looked_at: Rig, tmp_path: Path
) -> None:
    now = looked_at
    track = now.upload(1)
    with backup_of(now, tmp_path) as backup:
        await deliver(now)
        now.command(1, lambda each: each.restore_record(at=now.clock()))
        await deliver(now)
        newer = now.remote(track)
        async with backup.restored() as rig:
            assert kinds(await recovered_and_verified(rig)) == {track.rkey: DriftKind.NEWER}
            await deliver(rig)
            assert (rig.mirror().state, rig.remote(track)) == ("delivered", newer)
            assert kinds(await verified(rig)) == {}
            rig.edit(title="and on")
            await deliver(rig)
            assert rig.remote(track)["title"] == "and on"
            assert rig.remote(track)["mastertapeGen"] > newer["mastertapeGen"]


async def test_a_blob_that_was_uploaded_since_is_not_dropped(then) -> None:
    now, backup, tracks = then
    now.command(1, lambda each: each.request_blob_migration(at=now.clock()))
    await deliver(now)
    blob = now.remote(tracks[0])["audioBlob"]
    async with backup.restored() as rig:
        await recovered_and_verified(rig)
        await deliver(rig)
        assert rig.mirror().state == "delivered"
        rig.edit(title="and on")
        await deliver(rig)
        assert (rig.remote(tracks[0])["title"], rig.remote(tracks[0])["audioBlob"]) == ("and on", blob)


async def test_records_of_tracks_that_the_log_does_not_have_are_named_and_stay(then) -> None:
    now, backup, tracks = then
    created = now.upload(9)
    now.command(4, lambda each: each.delete(at=now.clock()))
    await deliver(now)
    async with backup.restored() as rig:
        found = await recovered_and_verified(rig)
        assert kinds(found) == {created.rkey: DriftKind.UNKNOWN, tracks[3].rkey: DriftKind.MISSING}
        await deliver(rig)
        assert rig.remote(created) is not None
        assert (rig.remote(tracks[3]), rig.mirror(4).state) == (None, "detached")


async def test_oauth_logins_end_and_those_of_app_passwords_go_on(then) -> None:
    now, backup, _ = then
    now.edit(title="newer")
    async with backup.restored() as rig:
        for did, kind in ((rig.did, SessionKind.APP_PASSWORD), ("did:plc:oauth", SessionKind.OAUTH)):
            rig.sign_in(did)
            add_login(rig, did, kind)
        assert preview_recovery(rig.log).logins_ended == 1
        assert recover(rig.log).logins_ended == 1
        with rig.database.read() as connection:
            logins = {row.did: row for row in connection.execute(select(pds_session))}
            lanes = {row.did: row.state for row in connection.execute(select(mirror_lane))}
        assert (logins[rig.did].status, logins["did:plc:oauth"].status) == ("active", "reauth_required")
        assert logins["did:plc:oauth"].sealed is None
        assert lanes == {rig.did: "ready", "did:plc:oauth": "auth_required"}


def add_login(rig: Rig, did: str, kind: SessionKind) -> None:
    rig.execute(
        insert(pds_session).values(
            did=did, kind=kind.value, pds_url=rig.pds.url, sealed=b"x", scope="", generation=1,
            status="active", updated_at=rig.clock(),
        )
    )  # fmt: skip


async def test_a_second_time_the_database_counts_as_restored_again_unless_only_what_was_noticed_counts(
    then,
) -> None:
    now, backup, _ = then
    now.edit(title="newer")
    async with backup.restored() as rig:
        add_login(rig, "did:plc:oauth", SessionKind.OAUTH)
        first = recover(rig.log)
        assert (first.because is None, first.accounts) == (False, 1)
        add_again = text("update pds_session set status = 'active', sealed = 'x'")
        rig.execute(add_again)
        again = recover(rig.log, if_noticed=True)
        assert (again.because, again.logins_ended, again.next_position) == (None, 0, first.next_position)
        declared = recover(rig.log)
        assert (declared.because, declared.logins_ended) == ("an operator says so", 1)
        assert declared.next_position >= first.next_position + POSITIONS_SKIPPED


async def test_of_two_verifications_at_once_the_later_changes_nothing(
    then, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, backup, _ = then
    now.edit(1, title="newer")
    async with backup.restored() as rig:
        found = await recovered_and_verified(rig)
        began = iter([True])  # as it was when it began
        monkeypatch.setattr(
            "replay.recovered.is_account_observed",
            lambda *given: next(began, None) or is_account_observed(*given),
        )
        assert not resume_account(rig.log, found, KINDS, ARTIST)


async def test_an_account_that_has_left_is_not_waited_for(then) -> None:
    now, backup, _ = then
    now.edit(1, title="newer")
    async with backup.restored() as rig:
        with rig.database.write() as connection:
            close_lane(connection, rig.did)
        assert preview_recovery(rig.log).accounts == 0
        done = recover(rig.log)
        assert (done.because is None, done.accounts) == (False, 0)
