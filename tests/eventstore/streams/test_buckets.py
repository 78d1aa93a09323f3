"""The bucket of an account is the same for ever, in every process and version."""

from collections import Counter
from random import Random

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import StatementError

from eventstore.sql.database import Database
from eventstore.sql.prepared import Prepared
from eventstore.streams.buckets import BUCKETS, account_columns, bucket_of, for_account

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@pytest.mark.parametrize(
    ("did", "bucket"),
    [
        ("did:plc:alice", 2608),
        ("did:plc:bob", 1329),
        ("did:plc:ewvi7nxzyoun6zhxrhs64oiz", 153),
        ("did:plc:z72i7hdynmk6r22z27h6tvur", 3931),
        ("did:web:example.org", 2644),
        ("did:web:münchen.example", 2682),
    ],
)
def test_the_bucket_of_a_did_never_changes(did: str, bucket: int) -> None:
    assert bucket_of(did) == bucket


def test_accounts_spread_evenly_over_the_buckets() -> None:
    random = Random(30)  # noqa: S311
    buckets = [bucket_of("did:plc:" + "".join(random.choices(LETTERS, k=24))) for _ in range(4000)]
    assert {0 <= each < BUCKETS for each in buckets} == {True}
    sixteenths = Counter(each * 16 // BUCKETS for each in buckets)
    assert len(sixteenths) == 16
    assert all(150 < count < 350 for count in sixteenths.values())
    assert max(Counter(buckets).values()) < 10


metadata = sa.MetaData()
note = sa.Table("note", metadata, *account_columns(primary_key=True), sa.Column("text", sa.Text))
other = sa.Table("other", metadata, *account_columns(primary_key=True))
ALICE, BOB = "did:plc:alice", "did:plc:bob"
OF_ACCOUNT = note.c.did == sa.bindparam("did")
COMPARISONS = {
    "a text": note.c.did == ALICE,
    "a list": note.c.did.in_([ALICE, BOB]),
    "a parameter": OF_ACCOUNT,
    "another table": note.c.did == other.c.did,
}


@pytest.fixture
def notes(database: Database) -> Database:
    metadata.create_all(database.engine)
    with database.write() as connection:
        connection.execute(sa.insert(note), [{"did": ALICE, "text": "a"}, {"did": BOB, "text": "b"}])
        Prepared(lambda _: sa.insert(other), ["did"]).start(connection, {"did": BOB})
    return database


@pytest.mark.parametrize("compared", COMPARISONS)
def test_whoever_compares_a_did_compares_the_bucket(compared: str) -> None:
    assert "AND note.bucket" in str(COMPARISONS[compared])


def test_whoever_inserts_a_did_inserts_its_bucket(notes: Database) -> None:
    with notes.read() as connection:
        rows = connection.execute(sa.select(note.c.did, note.c.bucket).order_by(note.c.did)).all()
        assert rows == [(ALICE, bucket_of(ALICE)), (BOB, bucket_of(BOB))]
        assert connection.scalar(sa.select(other.c.bucket)) == bucket_of(BOB)


def test_what_inserts_a_did_from_a_query_must_name_the_bucket(notes: Database) -> None:
    with notes.write() as connection, pytest.raises(StatementError, match="'did'"):
        connection.execute(sa.insert(other).from_select(["did"], sa.select(note.c.did)))


def test_an_account_is_found_by_each_kind_of_statement(notes: Database) -> None:
    found = sa.select(note.c.text).where(OF_ACCOUNT)
    with notes.read() as connection:
        assert connection.scalar(found, for_account(ALICE)) == "a"
        assert [row.text for row in Prepared(lambda _: found).query(did=BOB).start(connection).all()] == ["b"]
        beside = sa.select(note.c.text).join(other, note.c.did == other.c.did)
        assert connection.scalars(beside).all() == ["b"]
        assert connection.scalar(sa.select(sa.func.count()).where(~COMPARISONS["a text"])) == 1
