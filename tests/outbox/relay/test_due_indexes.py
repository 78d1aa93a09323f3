"""What a poll reads does not grow with the accounts and uploads that wait for nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, text

from eventstore.database import Database
from outbox.mirror.tables import NEVER, PAST, blob_job, mirror_lane
from outbox.relay.claim import seconds_until_due
from tests.outbox.rigs.rows import HOST, add_lane, claimed
from tests.outbox.rigs.uploads import claim_uploads
from tests.statements import Statement, before_each_statement

MANY = 20_000
READS = ("SCAN ", "SEARCH ", "Seq Scan on ", "Index Scan ", "Index Only Scan ", "Bitmap Index Scan ")
INDEXES = (
    "ix_mirror_lane_live",
    "ix_mirror_lane_backfill",
    "ix_mirror_lane_host",
    "ix_mirror_lane_leased",
    "ix_mirror_lane_probe",
    "ix_blob_job_open",
    "pk_",
    "autoindex",
)


@pytest.fixture(name="crowd")
def _crowd(database: Database) -> Database:
    """Very many accounts of one host that wait for nothing, as many that wait for their owners, and few that are due."""
    for number in range(1, 4):
        add_lane(database, number, backfill_at=PAST if number == 1 else NEVER)
    past = datetime(2020, 1, 1, tzinfo=UTC)
    with database.write() as connection:
        for state, due_at in (("ready", NEVER), ("auth_required", past)):
            lane = {"host": HOST, "state": state, "due_at": due_at}
            connection.execute(
                insert(mirror_lane), [lane | {"did": f"{state}{each}"} for each in range(MANY)]
            )
        jobs = [("did:plc:1", 1, True), *((f"ready{each}", each, False) for each in range(MANY))]
        names = ("did", "subject_id", "requested")
        connection.execute(
            insert(blob_job), [dict(zip(names, job, strict=True), audio_cid="bafy") for job in jobs]
        )
        if not database.is_sqlite:  # SQLite has no statistics to refresh
            connection.execute(text("analyze mirror_lane, blob_job"))
    return database


def claims(database: Database) -> object:
    return claimed(database)


def claims_uploads(database: Database) -> object:
    return claim_uploads(database)


@contextmanager
def listened(database: Database) -> Iterator[list[Statement]]:
    said: list[Statement] = []

    def note(statement: Statement) -> None:
        if any(table in statement.sql for table in ("mirror_lane", "blob_job")):
            said.append(statement)

    with before_each_statement(database.engine, note):
        yield said


POLLS: tuple[Callable[[Database], object], ...] = (seconds_until_due, claims_uploads, claims)


def test_a_poll_reads_indexes_of_what_may_be_due(subtests: pytest.Subtests, crowd: Database) -> None:
    for poll in POLLS:
        with subtests.test(poll.__name__):
            with listened(crowd) as said:
                assert poll(crowd)
            assert said
            for statement in said:
                lines = plan(crowd, statement)
                assert lines
                assert all(any(index in line for index in INDEXES) for line in lines), lines


def plan(database: Database, statement: Statement) -> list[str]:
    """The lines of the plan that find lanes and uploads."""
    finds = [line for line in statement.plan(database) if any(read in line for read in READS)]
    return [line for line in finds if "mirror_lane" in line or "blob_job" in line]
