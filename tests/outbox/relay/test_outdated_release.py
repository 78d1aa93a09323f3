"""A relay of another release than the read models' starts nothing that it could not settle."""

import logging

import pytest
from sqlalchemy import func, select, update

from eventstore.sql.schema import projection_state
from outbox.mirror.tables import delivery_attempt
from outbox.relay.result import Outcome
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import lane_row
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


def made_by(desk: Rig, fingerprint: str) -> str:
    """Mark the rows as rebuilt by another release; returns the previous fingerprint."""
    with desk.database.write() as connection:
        before: str = connection.scalars(select(projection_state.c.fingerprint)).one()
        connection.execute(update(projection_state).values(fingerprint=fingerprint))
    return before


async def test_it_claims_and_sends_nothing_says_so_once_a_minute_and_goes_on_when_it_fits_again(
    desk: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    desk.upload()
    ours = made_by(desk, "another release")

    with caplog.at_level(logging.ERROR):
        assert await desk.relay_once() == {}
        assert await desk.relay_once() == {}

    assert desk.wire.sent == []
    assert lane_row(desk.database, desk.did).lease_epoch == 0
    assert desk.scalars(select(func.count()).select_from(delivery_attempt))[0] == 0
    assert [record.getMessage() for record in caplog.records] == ["relay_outdated"]
    assert "mastertape rebuild mirror" in caplog.records[0].__dict__["reason"]

    made_by(desk, ours)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_it_begins_no_upload(desk: Rig) -> None:
    await delivered(desk)
    desk.command(1, lambda track: track.request_blob_migration(at=desk.clock()))
    desk.wire.sent.clear()
    ours = made_by(desk, "another release")

    await desk.relay_once()
    assert desk.wire.sent == []

    made_by(desk, ours)
    await desk.relay_once()
    assert [name for name, _ in desk.wire.sent] == ["uploadBlob", "putRecord"]


async def test_an_empty_log_is_outdated_for_no_release(desk: Rig, caplog: pytest.LogCaptureFixture) -> None:
    assert await desk.relay_once() == {}
    assert caplog.records == []
