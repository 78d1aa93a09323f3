"""Failures are counted by cause, and what other servers say makes no end of causes."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from aggregates.published import Subject
from eventstore.sql.database import Database
from outbox.mirror import failure_causes
from outbox.mirror.failure_causes import (
    CAUSE_TTL,
    Cause,
    count_failure,
    forget_samples,
    hour_of,
    prune_causes,
)
from outbox.mirror.tables import failure_cause, failure_hour
from outbox.pds.verdict import Kind, Phase, Verdict
from outbox.views.causes import CauseCount, causes
from tests.outbox.rigs.relay_rig import Clock

HOST, DID = "https://pds.example.com", "did:plc:alice"


def failed(database: Database, verdict: Verdict, *, host: str = HOST, track_id: int = 1) -> None:
    count_failure(database, host, verdict, did=DID, subject=Subject("track", track_id))


def refusal(error: str = "InvalidRecord", message: str = "no") -> Verdict:
    return Verdict(Kind.REJECTED, error, 400, message)


def found(database: Database, clock: Clock, **which: Any) -> list[CauseCount]:
    with database.read() as connection:
        return causes(connection, clock(), **which, limit=1000)


def test_failures_of_one_cause_are_one_row_with_a_trend(database: Database, clock: Clock) -> None:
    clock.ahead += timedelta(minutes=90) - (clock() - hour_of(clock()))  # in the middle of an hour
    failed(database, refusal(message="of alice"))
    first = found(database, clock)[0].row.first_seen_at
    clock.advance(hours=2)
    for track_id in (2, 3):
        failed(database, refusal(message="of bob"), track_id=track_id)
    [only] = found(database, clock)
    assert (only.row.first_seen_at, only.row.failures) == (first, 3)
    assert timedelta(hours=2) <= only.row.last_seen_at - first < timedelta(hours=2, minutes=1)
    assert (only.row.sample_track_id, only.row.sample_error) == (3, "InvalidRecord: of bob")
    assert only.trend == [0] * 21 + [1, 0, 2]
    clock.advance(hours=23)
    failed(database, refusal())
    assert found(database, clock)[0].trend == [2] + [0] * 22 + [1]
    with database.read() as connection:
        assert len(connection.execute(select(failure_hour)).all()) == 2  # the first hour is deleted


def test_host_phase_status_and_error_make_a_cause(database: Database, clock: Clock) -> None:
    failed(database, refusal())
    failed(database, refusal(), host="https://other.example.com")
    failed(database, Verdict(Kind.AMBIGUOUS, "InvalidRecord", 500))
    failed(database, Verdict(Kind.NOT_SENT, "ConnectError", phase=Phase.UPLOAD))
    failed(database, Verdict(Kind.AMBIGUOUS, "ConnectError", phase=Phase.READ))
    assert len(found(database, clock)) == 5
    [upload] = [
        each.row for each in found(database, clock, error="ConnectError") if each.row.phase == "upload"
    ]
    assert (upload.host, upload.status, upload.id) == (
        HOST,
        None,
        Cause(HOST, "upload", None, "ConnectError").id,
    )
    assert len(found(database, clock, host="https://other.example.com")) == 1


@pytest.mark.parametrize("error", ["did:plc:mallory", "x" * 65])
def test_a_text_that_is_no_name_makes_no_cause_of_its_own(error: str) -> None:
    assert Cause.of(HOST, refusal(error)).error == "unnamed"


def test_a_host_that_makes_up_names_loses_its_oldest_causes(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_causes, "MAX_CAUSES_PER_HOST", 3)
    failed(database, refusal(), host="https://other.example.com")
    for number in range(6):
        clock.advance(seconds=1)
        failed(database, refusal(f"MadeUp{number}"))
    names = [each.row.error for each in found(database, clock)]
    assert names == ["MadeUp5", "MadeUp4", "MadeUp3", "InvalidRecord"]
    with database.read() as connection:
        assert len(connection.execute(select(failure_hour)).all()) == 4


def test_causes_that_are_no_longer_met_are_deleted(database: Database, clock: Clock) -> None:
    failed(database, refusal())
    clock.ahead += CAUSE_TTL - timedelta(days=1)
    assert prune_causes(database) == 0
    with database.read() as connection:
        assert connection.execute(select(failure_hour)).all() == []
    clock.advance(days=1)
    assert prune_causes(database) == 1


def test_the_sample_of_an_erased_account_is_removed(database: Database) -> None:
    failed(database, refusal(message="what alice wrote"))
    with database.write() as connection:
        forget_samples(connection, DID)
        row = connection.execute(select(failure_cause)).one()
    assert (row.sample_did, row.sample_track_id, row.sample_error, row.failures) == (None, None, None, 1)


def test_a_failure_that_cannot_be_counted_fails_nothing(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from sqlalchemy.exc import OperationalError

    def away(*_args: object) -> None:
        raise OperationalError("insert", {}, OSError("away"))

    monkeypatch.setattr(failure_causes, "_count", away)
    failed(database, refusal())
    assert [record.message for record in caplog.records] == ["failure_not_counted"]
    assert found(database, clock) == []
