"""What a poll reads does not grow with the lanes that are due, at one host or in all."""

import os
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from sqlalchemy import insert, text

from eventstore.coordination.due_parts import parts_of
from eventstore.sql.database import Database
from outbox.mirror.lanes import release
from outbox.mirror.parking import schedule_overdue_probes
from outbox.mirror.tables import NEVER, PAST, blob_job, mirror_lane
from outbox.relay.claim import seconds_until_due
from tests.outbox.rigs.rows import HOST, add_lane, claimed, set_host
from tests.outbox.rigs.uploads import claim_uploads
from tests.servers.databases import AND_CITUS
from tests.statements import effort

DUE = 50_000 if os.environ.get("TEST_DEEP") else 2_500
FEW = 100
"""Rows on PostgreSQL, hundreds of steps on SQLite: all of them would be thousands."""
KINDS = {"live": "due_at", "backfill": "backfill_at"}
CROWDS = [(kind, is_known) for is_known in (False, True) for kind in KINDS]
each_crowd = pytest.mark.parametrize(
    ("migrated_url", "crowd"),
    [
        *(("sqlite", crowd) for crowd in CROWDS[: len(KINDS)]),  # which has no statistics to refresh
        *(pytest.param("postgres", crowd, marks=pytest.mark.postgres) for crowd in CROWDS),
        *product(AND_CITUS, CROWDS),
    ],
    indirect=True,
    ids=str,
)


@pytest.fixture
def crowd(request: pytest.FixtureRequest, database: Database) -> Database:
    """Very many lanes are due at one host, in random order, and one at another; very many wait for nothing, or for their owners."""
    kind, is_known = request.param
    add_lane(database, 1)
    add_lane(database, 2, host="http://other.test")
    with database.write() as connection:
        due = [
            {"did": f"did:plc:{i}", KINDS[kind]: datetime(2010 + i * 7 % 10, 1, 1, tzinfo=UTC)}
            for i in range(3, DUE + 2)
        ]
        connection.execute(insert(mirror_lane).values(host=HOST, state="ready"), due)
        for state, due_at in (("ready", NEVER), ("auth_required", PAST)):
            at_rest = {"host": HOST, "state": state, "due_at": due_at}
            connection.execute(insert(mirror_lane), [at_rest | {"did": f"{state}{n}"} for n in range(DUE)])
        uploaded = {"audio_cid": "bafy", "requested": False}
        jobs = [uploaded | {"did": f"ready{n}", "subject_id": n} for n in range(DUE)]
        connection.execute(insert(blob_job), jobs)
        if is_known:
            connection.execute(text("analyze mirror_lane, pds_host"))
    return database


@each_crowd
def test_a_poll_reads_a_few_lanes_of_a_host_at_which_very_many_are_due(crowd: Database) -> None:
    first: list[Any] = []
    assert effort(crowd, "mirror_lane", lambda: seconds_until_due(crowd, parts_of(crowd))) < FEW
    assert effort(crowd, "mirror_lane", lambda: first.extend(claimed(crowd))) < FEW
    assert {lane.host for lane in first} == {HOST, "http://other.test"}
    assert effort(crowd, "mirror_lane", lambda: claimed(crowd)) < FEW
    assert effort(crowd, "mirror_lane", lambda: release(crowd, first[-1])) < FEW
    assert effort(crowd, "mirror_lane", lambda: seconds_until_due(crowd, parts_of(crowd))) < FEW
    assert effort(crowd, "mirror_lane", lambda: claim_uploads(crowd)) < FEW
    again: list[Any] = []
    assert effort(crowd, "mirror_lane", lambda: again.extend(claimed(crowd))) < FEW
    assert len(again) == 1


@each_crowd
def test_nothing_is_read_of_a_crowd_whose_host_is_well_to_find_those_that_are_probed(crowd: Database) -> None:
    assert effort(crowd, "mirror_lane", lambda: schedule_overdue_probes(crowd)) < FEW
    set_host(crowd, host="http://other.test", retry_at=datetime(2100, 1, 1, tzinfo=UTC))
    found: list[str] = []
    assert effort(crowd, "mirror_lane", lambda: found.extend(schedule_overdue_probes(crowd))) < FEW
    assert found == ["did:plc:2"]
