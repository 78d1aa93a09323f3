"""Who meets a row that another has locked passes on: nobody waits for a transaction that stopped in the middle."""

import logging
from typing import Any

import pytest
from sqlalchemy import insert, select

from eventstore.database import Database
from outbox.mirror.host_state import HostReport
from outbox.mirror.hosts import Hosts
from outbox.mirror.tables import PAST, blob_job, mirror_lane, pds_host
from outbox.pds.verdict import Kind, Verdict
from outbox.probes.jobs import claim_probes
from tests.outbox.rigs.row_locks import locked
from tests.outbox.rigs.rows import HOST, LEASE, add_lane
from tests.outbox.rigs.uploads import claim_uploads

pytestmark = pytest.mark.postgres
OTHER = "http://other.test"


def looked_at(database: Database) -> list[str]:
    return [probe.lane.did for probe in claim_probes(database, owner="relay", limit=9, lease=LEASE)]


def test_looks_pass_on_from_a_locked_host(postgres: Database) -> None:
    add_lane(postgres, 1, probe_at=PAST)
    other = add_lane(postgres, 2, host=OTHER, probe_at=PAST)
    with locked(postgres, pds_host, pds_host.c.host == HOST):
        assert looked_at(postgres) == [other]


def test_looks_pass_on_from_a_locked_lane(postgres: Database) -> None:
    did, other = (add_lane(postgres, number, probe_at=PAST) for number in (1, 2))
    with locked(postgres, mirror_lane, mirror_lane.c.did == did):
        assert looked_at(postgres) == [other]


def test_what_was_heard_of_a_locked_host_is_left_out_without_an_error(
    postgres: Database, caplog: pytest.LogCaptureFixture
) -> None:
    did = add_lane(postgres, 1)
    failed = Verdict(Kind.NOT_SENT, error="ConnectError")
    with locked(postgres, pds_host, pds_host.c.host == HOST):
        Hosts(postgres).record(HostReport.of(HOST, did, failed))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    Hosts(postgres).record(HostReport.of(HOST, did, failed))
    with postgres.read() as connection:
        assert connection.scalar(select(pds_host.c.failures)) == 1


def test_claims_of_uploads_wait_for_no_locked_one(postgres: Database) -> None:
    did, other = (add_lane(postgres, number) for number in (1, 2))
    with postgres.write() as connection:
        jobs: list[dict[str, Any]] = [
            {"did": each, "subject_id": number, "audio_cid": "bafy", "requested": True}
            for number, each in enumerate((did, other))
        ]
        connection.execute(insert(blob_job), jobs)
    with locked(postgres, blob_job, blob_job.c.did == did):
        claimed = claim_uploads(postgres)
    assert [upload.did for upload in claimed] == [did, other]
