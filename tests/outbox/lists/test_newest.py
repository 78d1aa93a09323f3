"""What lists are to refer to is found with few rows read, also where PostgreSQL knows nothing yet of the lists."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from aggregates.values import ListItem
from eventstore.sql.database import Database
from outbox.lists.items import list_follower, list_item
from outbox.lists.newest import followers_to_tell, stale_references
from outbox.mirror.tables import mirror_target
from outbox.pds.client import RecordKey
from tests.dsl import ALICE, BOB, COLLECTION
from tests.servers.databases import ON_POSTGRES
from tests.statements import Statement, before_each_statement

TRACKS, LISTS = 150, 10
KEYS = [RecordKey(ALICE, COLLECTION, f"3k{number:03}") for number in range(TRACKS)]
CHANGED = KEYS[0].uri


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    """One with lists of the same tracks, of which the first has changed since; PostgreSQL has never analyzed them."""
    database = Database(migrated_url)
    with database.write() as connection:
        connection.execute(
            sa.insert(mirror_target),
            [
                vars(key)
                | {"subject_id": number, "desired_gen": 1, "desired_op": "put", "detached": False}
                | {"acked_gen": 1, "observed_cid": "newest"}
                for number, key in enumerate(KEYS)
            ],
        )
        items = [
            {"did": ALICE, "list_id": number, "uri": key.uri}
            | {"cid": "earlier" if key.uri == CHANGED else "newest"}
            for number in range(LISTS)
            for key in KEYS
        ]
        connection.execute(sa.insert(list_item), [{**each, "written": True} for each in items])
        connection.execute(sa.insert(list_follower), [{**each, "author": BOB} for each in items])
    yield database
    database.close()


def test_a_changed_record_is_found_in_each_list(database: Database) -> None:
    with database.read() as connection:
        stale = stale_references(connection, ALICE)
        followers = followers_to_tell(connection, ALICE, at_most=TRACKS)
    assert stale == {number: {CHANGED: ListItem(CHANGED, "newest")} for number in range(LISTS)}
    assert {(row.uri, row.list_id, row.cid) for row in followers} == {
        (CHANGED, number, "newest") for number in range(LISTS)
    }


@ON_POSTGRES
@pytest.mark.parametrize(
    "find",
    [
        lambda connection: stale_references(connection, ALICE),
        lambda connection: followers_to_tell(connection, ALICE, at_most=TRACKS),
    ],
    ids=["stale_references", "followers_to_tell"],
)
def test_few_rows_are_read_of_lists_that_were_never_analyzed(
    database: Database, find: Callable[[sa.Connection], Any]
) -> None:
    seen: list[Statement] = []
    with database.write() as connection, before_each_statement(database.engine, seen.append):
        find(connection)
    with database.write() as connection:
        explained = f"explain (analyze, format json) {seen[0].sql}"
        [[[found]]] = connection.exec_driver_sql(explained, seen[0].values).all()
    assert rows_of(found["Plan"]) < 10 * TRACKS * LISTS, json.dumps(found, indent=1)


def rows_of(node: dict[str, Any]) -> int:
    """Count the rows that a node of a plan, and those beneath it, have returned or looked at in vain."""
    own = node["Actual Rows"] + sum(count for name, count in node.items() if name.startswith("Rows Removed"))
    return int(own * node["Actual Loops"]) + sum(map(rows_of, node.get("Plans", ())))
