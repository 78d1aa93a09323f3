"""A new id carries the bucket of its account; the bucket of an older one is in the directory."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from eventstore.sql.database import Database
from eventstore.sql.schema import track_id_sequence
from eventstore.streams.buckets import BUCKETS, bucket_of
from eventstore.streams.ids import (
    boundary_of,
    bucket_of_older,
    enter_older_ids,
    issue_only_above,
    next_subject_id,
)

ALICE, BOB, CAROL = (f"did:plc:{name}" for name in ("alice", "bob", "carol"))
MOST = 2**41 - 1
"""So many subjects get an id below 2^53, the largest number of JavaScript."""


def issue(database: Database, *dids: str) -> list[int]:
    with database.write() as connection:
        return [next_subject_id(connection, did) for did in dids]


def test_an_id_carries_the_bucket_of_its_account_and_is_larger_than_those_before(database: Database) -> None:
    accounts = [BOB, ALICE, CAROL, ALICE, BOB]
    ids = issue(database, *accounts)
    assert ids == sorted(set(ids))
    assert [each // BUCKETS for each in ids] == [1, 2, 3, 4, 5]
    assert [each % BUCKETS for each in ids] == [bucket_of(did) for did in accounts]


def test_ids_of_all_accounts_are_numbered_by_one_sequence(database: Database) -> None:
    with ThreadPoolExecutor(4) as threads:
        issued = threads.map(lambda did: issue(database, *[did] * 25), [ALICE, BOB, CAROL, ALICE])
        numbers = [each // BUCKETS for ids in issued for each in ids]
    assert sorted(numbers) == list(range(1, 101))


@pytest.mark.postgres
def test_a_transaction_that_issues_an_id_writes_no_row_on_postgresql(postgres: Database) -> None:
    issue(postgres, ALICE)
    with postgres.read() as connection:
        assert connection.execute(sa.select(track_id_sequence)).all() == []


def test_so_many_ids_are_below_what_clients_count_exactly(database: Database) -> None:
    with database.write() as connection:
        issue_only_above(connection, MOST - 1)
    [last] = issue(database, ALICE)
    assert last == MOST * BUCKETS + bucket_of(ALICE) < 2**53
    assert MOST * BUCKETS + BUCKETS - 1 == 2**53 - 1


def test_no_id_up_to_a_number_is_issued_after_it(database: Database) -> None:
    for number in (2**31, 7):
        with database.write() as connection:
            issue_only_above(connection, number)
        [new] = issue(database, BOB)
        assert new > 2**31


def test_the_directory_has_the_bucket_of_older_ids_alone(database: Database) -> None:
    boundary = 5001 * BUCKETS
    older = sa.select(sa.literal(5000), sa.literal(BOB)).where(sa.true())
    with database.write() as connection:
        issue_only_above(connection, 5000)  # as for an older id, or for a number of the peer
        enter_older_ids(connection, boundary, older)
    [new] = issue(database, CAROL)
    assert new >= boundary
    with database.read() as connection:
        assert boundary_of(connection) == boundary
        found = [bucket_of_older(connection, each) for each in (4999, 5000, 5001, new)]
    assert found == [None, bucket_of(BOB), None, None]
