"""What is about to be sent is written down first; what the journal says costs the same however often a record was delivered."""

import pytest
from sqlalchemy import insert

from eventstore.errors import LeaseLostError
from eventstore.sql.database import Database
from outbox.mirror.tables import PAST, delivery_attempt
from outbox.pds.client import RecordKey
from outbox.relay import journal
from outbox.relay.delivery_task import next_task
from outbox.relay.result import Outcome
from tests.fake_pds.xrpc import RefusedError
from tests.outbox.rigs.foreign_writes import delivered, foreign_put, reads, target
from tests.outbox.rigs.relay_rig import KINDS, Rig
from tests.outbox.rigs.wire import LateRequest, answered, meanwhile
from tests.servers.databases import ON_SQLITE
from tests.statements import effort

pytestmark = pytest.mark.anyio

OFTEN = RecordKey("did:plc:1", "c", "often")
ONCE = RecordKey("did:plc:1", "c", "once")
FEW = 100
"""Rows on PostgreSQL, hundreds of steps on SQLite: all of them would be thousands."""


@pytest.fixture
def _delivered(database: Database) -> None:
    """Two records: one was delivered once, the other 5,000 times."""
    sent = {"op": "put", "epoch": 1, "started_at": PAST, "outcome": "done"}
    rows = [{**vars(OFTEN), **sent, "gen": gen, "request_cid": f"cid {gen}"} for gen in range(5000)]
    with database.write() as connection:
        connection.execute(insert(delivery_attempt), [*rows, {**rows[0], **vars(ONCE)}])


@pytest.mark.usefixtures("_delivered")
def test_a_write_of_ours_is_recognized_without_reading_all_that_were_sent_before(database: Database) -> None:
    assert is_ours(database, OFTEN, "cid 4000")
    assert not is_ours(database, OFTEN, "another")
    assert not is_ours(database, ONCE, "cid 4000")
    assert not is_ours(database, ONCE, None)
    assert effort(database, "delivery_attempt", lambda: is_ours(database, OFTEN, "cid 4999")) < FEW


def is_ours(database: Database, key: RecordKey, cid: str | None) -> bool:
    with database.read() as connection:
        return journal.is_our_cid(connection, key, cid)


@ON_SQLITE
async def test_a_create_that_met_a_record_stays_known_though_the_record_cannot_be_read(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads(desk, monkeypatch, RefusedError(500, "InternalServerError"))
    desk.wire.faults += [answered(400, "InvalidSwap")]
    desk.upload()
    await desk.relay_once()
    assert target(desk).ever_sent is True


@ON_SQLITE
async def test_the_intent_is_written_before_the_first_byte(desk: Rig) -> None:
    noted = []
    desk.wire.faults += [meanwhile(lambda: noted.append((desk.attempts(), target(desk).ever_sent)))]
    desk.upload()
    await desk.relay_once()
    [([attempt], was_sent)] = noted
    assert (attempt.op, attempt.outcome, was_sent) == ("put", None, True)


@ON_SQLITE
async def test_each_attempt_says_how_it_ended(desk: Rig) -> None:
    track = await delivered(desk)
    desk.wire.faults += [LateRequest()]
    desk.edit(title="one")
    assert await desk.relay_once() == {Outcome.FAILED: 1}
    desk.clock.advance(minutes=10)
    foreign_put(desk, track, x=1)
    await desk.relay_once()
    assert [row.outcome for row in desk.attempts()] == ["done", "ambiguous", "read_back", "done"]


@ON_SQLITE
async def test_a_relay_that_lost_the_lease_neither_sends_nor_writes(desk: Rig) -> None:
    desk.upload()
    lane = desk.claim("first", lease=5)
    task = next_task(desk.log, lane, KINDS, desk.clock(), [])
    assert task is not None
    desk.clock.advance(seconds=6)
    before = target(desk)

    with pytest.raises(LeaseLostError):  # another relay may claim the lane at any moment
        await desk.delivery.deliver(lane, task, 5)
    result = await desk.delivery.deliver(desk.claim("second"), task, 5)
    sent = len(desk.wire.sent)
    with pytest.raises(LeaseLostError):
        await desk.delivery.deliver(lane, task, 5)
    with pytest.raises(LeaseLostError):
        desk.settle(lane, result)

    assert len(desk.wire.sent) == sent == 1
    assert target(desk).acked_gen == before.acked_gen == 0
