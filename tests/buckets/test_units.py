"""A transaction that appends events or settles a delivery fails its test if it writes beyond one bucket."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.buckets import units

EVENT = "insert into stored_event (did, bucket) values ($1, $2)"
LANE = "update mirror_lane set due_at = $3 where did = $1 and bucket = $2::smallint"
SETTLED = "update delivery_attempt set outcome = $1 where id = $3 and bucket = $2::smallint"
OF_ONE = ["did:plc:alice", 7, None]
PLACES = ("outbox/relay/settle.py settle", "outbox/relay/relay.py run")


@dataclass(eq=False)
class Driver:
    autocommit: bool = False


def written(*statements: tuple[str, Any], allowed: str = "") -> str | None:
    """What is said of a transaction of these statements."""
    driver = Driver()
    for sql, values in statements:
        assert units.note(driver, sql, [values], PLACES) is None
    ended = units.end(driver)
    return None if ended is None else ended.beyond(frozenset({allowed}))


@pytest.mark.parametrize("bound", [EVENT, SETTLED])
@pytest.mark.parametrize(
    "beside",
    [
        ("update media set touched_at = $1", [None]),
        ("select host from pds_host for update", []),
        ("update mirror_lane set due_at = $1", [None]),
        (LANE, ["did:plc:bob", 8, None]),
        ("insert into job (account, bucket) values (%(account)s, %(bucket)s)", {"account": "b", "bucket": 8}),
    ],
)
def test_what_is_written_beyond_the_bucket_is_said(bound: str, beside: tuple[str, Any]) -> None:
    said = written((bound, OF_ONE), beside)
    assert said is not None
    assert PLACES[0] in said
    assert written((bound, OF_ONE), beside, allowed="outbox/relay/relay.py") is None


def test_rows_of_one_bucket_are_written_freely() -> None:
    reads = ("select cid from media where cid = $1", ["bafy"])
    assert written((EVENT, OF_ONE), (LANE, OF_ONE), (SETTLED, OF_ONE), reads) is None


def test_what_appends_nothing_may_write_anywhere() -> None:
    assert written(("update media set touched_at = $1", [None]), (LANE, OF_ONE)) is None


def test_outside_of_a_transaction_each_statement_is_one() -> None:
    driver = Driver(autocommit=True)
    assert units.note(driver, "update media set touched_at = $1", [[None]], PLACES) is not None
    assert units.end(driver) is None
    units.begin(driver)
    assert units.note(driver, EVENT, [OF_ONE], PLACES) is None
    assert units.end(driver) is not None
