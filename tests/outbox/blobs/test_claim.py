"""Uploads are claimed in turn: one per account and two per host, over all processes."""

from collections import Counter
from collections.abc import Iterable

import pytest
from sqlalchemy import delete, insert, select, update

from eventstore.coordination.due_parts import parts_of
from eventstore.jobs import queue
from eventstore.jobs.queue import due_kinds
from eventstore.jobs.table import job as job_table
from eventstore.jobs.table import job_turn
from eventstore.sql.database import Database
from outbox.blobs.claim import MAX_UPLOADS_PER_HOST, QUEUE_AGAIN_AFTER, Upload
from outbox.mirror.pausing import pause, resume
from outbox.mirror.tables import UPLOAD, blob_job, mirror_lane
from tests.eventstore.threads import together
from tests.outbox.rigs.relay_rig import Clock
from tests.outbox.rigs.rows import HOST, add_lane, set_host
from tests.outbox.rigs.uploads import KIND, claim_uploads
from tests.servers.databases import ON_ONE_NODE

pytestmark = ON_ONE_NODE
OTHER_HOST = "http://other.test"


def add_jobs(database: Database, number: int, tracks: Iterable[int], *, host: str = HOST) -> str:
    did = add_lane(database, number, host=host)
    rows = [{"did": did, "subject_id": track, "audio_cid": "bafy", "requested": True} for track in tracks]
    with database.write() as connection:
        connection.execute(insert(blob_job), rows)
    return did


def done(database: Database, job: Upload) -> None:
    """The upload has ended, and its track wants it no more."""
    queue.release(database, job.job)
    with database.write() as connection:
        this = (blob_job.c.did == job.did, blob_job.c.subject_id == job.subject.id)
        connection.execute(update(blob_job).where(*this).values(requested=False))


def under_way(database: Database) -> Counter[str]:
    with database.read() as connection:
        return Counter(
            connection.scalars(
                select(mirror_lane.c.host)
                .join(job_table, job_table.c.account == mirror_lane.c.did)
                .where(job_table.c.kind == UPLOAD, job_table.c.lease_owner.is_not(None))
            )
        )


def test_accounts_upload_in_turn_however_large_and_old_their_libraries(
    database: Database, clock: Clock
) -> None:
    dids = [add_jobs(database, number, range(number * 100, number * 100 + 20)) for number in (1, 2, 3)]
    running = claim_uploads(database)
    turns = [job.did for job in running]
    for _ in range(7):
        clock.advance(seconds=1)
        done(database, running.pop(0))
        running += claim_uploads(database)
        turns.append(running[-1].did)
    assert turns == [*dids, *dids, *dids]


def test_a_job_whose_turn_was_pruned_while_it_was_requested_is_claimed_all_the_same(
    database: Database,
) -> None:
    did = add_jobs(database, 1, [10])
    due_kinds(database, [KIND], parts_of(database))
    with database.write() as connection:
        connection.execute(delete(job_turn))
    assert [job.did for job in claim_uploads(database)] == [did]


def test_live_work_goes_before_the_libraries_of_all(database: Database) -> None:
    library = [add_jobs(database, number, [number * 10]) for number in (1, 2)]
    with database.write() as connection:
        connection.execute(update(blob_job).values(backfill=True))
    live = add_jobs(database, 3, [30])
    assert [job.did for job in claim_uploads(database)] == [live, library[0]]


def test_a_host_that_hangs_on_uploads_leaves_room_for_the_others(database: Database) -> None:
    for number in range(1, 6):
        add_jobs(database, number, [number])
    add_jobs(database, 9, [9], host=OTHER_HOST)
    first = claim_uploads(database, "first", limit=1)
    assert [job.host for job in first] == [HOST]
    assert sorted(job.host for job in claim_uploads(database, "second")) == [OTHER_HOST, HOST]
    assert claim_uploads(database, "third") == []
    assert under_way(database) == {HOST: MAX_UPLOADS_PER_HOST, OTHER_HOST: 1}


def test_the_lease_of_a_process_that_died_is_not_counted_for_ever(database: Database, clock: Clock) -> None:
    for number in range(1, 4):
        add_jobs(database, number, [number])
    assert len(claim_uploads(database, "dead")) == MAX_UPLOADS_PER_HOST
    clock.advance(seconds=61)
    assert len(claim_uploads(database)) == MAX_UPLOADS_PER_HOST


def test_a_host_whose_breaker_is_open_gets_one_upload(database: Database) -> None:
    for number in range(1, 4):
        add_jobs(database, number, [number])
    set_host(database, breaker="open")
    assert len(claim_uploads(database)) == 1
    assert claim_uploads(database, "second") == []


@pytest.mark.postgres
@pytest.mark.timeout(120)
def test_however_many_claim_at_once_no_host_and_no_account_has_too_many(migrated_postgres: str) -> None:
    database = Database(migrated_postgres)
    for number in range(1, 13):
        add_jobs(
            database, number, range(number * 100, number * 100 + 10), host=f"http://pds{number % 2}.test"
        )

    def claim_all() -> None:
        for _ in range(10):
            jobs = claim_uploads(database)
            counted = under_way(database)
            assert max(counted.values(), default=0) <= MAX_UPLOADS_PER_HOST, counted
            for job in jobs:
                done(database, job)

    together(*[claim_all] * 8)
    database.close()


def test_uploads_whose_job_was_lost_are_queued_again_within_an_hour(database: Database, clock: Clock) -> None:
    add_jobs(database, 1, [1])
    assert due_kinds(database, [KIND], parts_of(database))
    with database.write() as connection:
        connection.execute(delete(job_table))
    assert claim_uploads(database) == []
    clock.advance(seconds=QUEUE_AGAIN_AFTER.total_seconds())
    assert len(claim_uploads(database)) == 1


def test_uploads_of_a_paused_account_are_queued_once_it_is_resumed(database: Database, clock: Clock) -> None:
    did = add_jobs(database, 1, [1])
    with database.write() as connection:
        pause(connection, did)
    assert claim_uploads(database) == []
    with database.write() as connection:
        resume(connection, did, clock())
    assert len(claim_uploads(database)) == 1
