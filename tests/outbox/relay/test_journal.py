"""What the journal says of a record costs the same however often the record was delivered."""

from time import thread_time

import pytest
from sqlalchemy import insert

from eventstore.database import Database
from outbox.mirror.tables import PAST, delivery_attempt
from outbox.pds.client import RecordKey
from outbox.relay import journal

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
    """The least CPU time for the answer to this."""
    times = []
    for _ in range(20):
        begun = thread_time()
        is_ours(database, key, cid)
        times.append(thread_time() - begun)
    return min(times)
