"""What is about to be sent is written down first; what the journal says costs the same however often a record was delivered."""

from time import thread_time
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from eventstore.errors import LeaseLostError
from eventstore.sql.database import Database
from outbox.mirror.tables import PAST, delivery_attempt, mirror_target
from outbox.pds.client import RecordKey
from outbox.relay import journal
from outbox.relay.delivery_task import next_task
from tests.outbox.rigs.relay_rig import KINDS, Rig, answered, meanwhile, refused

pytestmark = pytest.mark.anyio

OFTEN = RecordKey("did:plc:1", "c", "often")
ONCE = RecordKey("did:plc:1", "c", "once")


@pytest.fixture(autouse=True)
def _delivered(database: Database) -> None:
    """Two records: one was delivered once, the other 5,000 times."""
    sent = {"op": "put", "epoch": 1, "started_at": PAST, "outcome": "done"}
    rows = [{**vars(OFTEN), **sent, "gen": gen, "request_cid": f"cid {gen}"} for gen in range(5000)]
    with database.write() as connection:
        connection.execute(insert(delivery_attempt), [*rows, {**rows[0], **vars(ONCE)}])


def test_a_write_of_ours_is_recognized_without_reading_all_that_were_sent_before(database: Database) -> None:
    assert is_ours(database, OFTEN, "cid 4000")
    assert not is_ours(database, OFTEN, "another")
    assert not is_ours(database, ONCE, "cid 4000")
    assert not is_ours(database, ONCE, None)
    assert cost(database, OFTEN, "cid 4999") < 5 * cost(database, ONCE, "cid 0")


def is_ours(database: Database, key: RecordKey, cid: str | None) -> bool:
    with database.read() as connection:
        return journal.is_our_cid(connection, key, cid)


def cost(database: Database, key: RecordKey, cid: str) -> float:
    times = []
    for _ in range(20):
        begun = thread_time()
        is_ours(database, key, cid)
        times.append(thread_time() - begun)
    return min(times)


def target(rig: Rig) -> Any:
    return rig.rows(select(mirror_target))[0]


async def test_a_refused_connection_of_a_create_is_known_to_have_sent_nothing(desk: Rig) -> None:
    desk.wire.faults += [refused]
    desk.upload()
    await desk.relay_once()
    assert target(desk).ever_sent is False


async def test_a_create_that_met_a_record_stays_known_though_the_record_cannot_be_read(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = desk.pds.answer

    def unreachable_to_reads(request: httpx.Request, content: bytes) -> httpx.Response:
        if "getRecord" in request.url.path:
            raise httpx.ConnectError("refused")
        return real(request, content)

    monkeypatch.setattr(desk.pds, "answer", unreachable_to_reads)
    desk.wire.faults += [answered(400, "InvalidSwap")]
    desk.upload()
    await desk.relay_once()
    assert target(desk).ever_sent is True


async def test_the_intent_is_written_before_the_first_byte(desk: Rig) -> None:
    noted = []
    desk.wire.faults += [meanwhile(lambda: noted.append((desk.attempts(), target(desk).ever_sent)))]
    desk.upload()
    await desk.relay_once()
    [([attempt], was_sent)] = noted
    assert (attempt.op, attempt.outcome, was_sent) == ("put", None, True)


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
