"""Of the commits that a host tells of, only those count that somebody else made and that are newer than what we know."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert

from eventstore.database import Database
from outbox.firehose.frames import Commit, Write
from outbox.firehose.own_writes import foreign_writes, record_revision
from outbox.mirror.tables import PAST, delivery_attempt, repo_scan
from tests.outbox.rigs.rows import add_target

DID = "did:plc:1"
OURS, OLD, THEIRS = "ours", "old", "theirs"
EARLIER, ACK, LATER = "3k1", "3k2", "3k3"


@pytest.fixture(name="told")
def _told(database: Database) -> Callable[..., list[int]]:
    """A record that was delivered as OURS in the commit ACK; give what a commit to it makes of it."""
    with database.write() as connection:
        add_target(connection, DID, 1, acked_gen=2, desired_gen=2, observed_cid=OURS)
    attempt(database, OLD, gen=1, rev="3k0", outcome="done")
    attempt(database, OURS, gen=2, rev=ACK, outcome="done")

    def told(rev: str, cid: str | None, path: str = "c/1", did: str = DID) -> list[int]:
        with database.read() as connection:
            return foreign_writes(connection, did, Commit(rev, (Write(*path.split("/"), cid),)))

    return told


def attempt(database: Database, cid: str | None, **columns: Any) -> None:
    row = {
        "did": DID,
        "collection": "c",
        "rkey": "1",
        "gen": 2,
        "op": "put" if cid is not None else "delete",
        "request_cid": cid,
        "epoch": 1,
        "started_at": PAST,
    }
    with database.write() as connection:
        connection.execute(insert(delivery_attempt).values({**row, **columns}))


def test_another_clients_write_counts(told):
    assert told(LATER, THEIRS) == [1]
    assert told(LATER, None) == [1]


@pytest.mark.parametrize(
    ("rev", "cid"),
    [(ACK, OURS), (LATER, OURS), (EARLIER, THEIRS), (EARLIER, None), ("3k0", OLD)],
    ids=["the echo", "as it is", "an older edit", "an older delete", "the echo of an older write"],
)
def test_what_is_ours_or_older_than_our_newest_write_does_not(told, rev, cid):
    assert told(rev, cid) == []


def test_what_is_not_ours_to_keep_does_not(told):
    assert told(LATER, THEIRS, path="c/2") == []
    assert told(LATER, THEIRS, path="other/1") == []
    assert told(LATER, THEIRS, did="did:plc:2") == []


def test_an_old_record_of_ours_that_somebody_puts_back_counts(told):
    assert told(LATER, OLD) == [1]


@pytest.mark.parametrize("outcome", [None, "ambiguous"])
def test_an_echo_that_comes_before_the_answer_is_known(told, database, outcome):
    attempt(database, "new", gen=3, outcome=outcome)
    assert told(LATER, "new") == []
    assert told(LATER, None) == [1]
    attempt(database, None, gen=4, outcome=outcome)
    assert told(LATER, None) == []
    assert told(LATER, THEIRS) == [1]


def test_a_write_that_was_refused_is_nobodys_echo(told, database):
    attempt(database, "new", gen=3, outcome="read_back")
    assert told(LATER, "new") == [1]


def test_the_edit_that_is_held_is_taken_back_by_what_was_there_before(told, database):
    from tests.outbox.rigs.rows import change_target

    change_target(database, DID, state="held", conflict_cid=THEIRS)
    assert told(LATER, OURS) == [1]


def test_revisions_that_arrive_again_change_nothing(told, database):
    assert told("3k5", THEIRS) == [1]
    with database.write() as connection:
        record_revision(connection, DID, "3k5")
    assert [told(rev, THEIRS) for rev in ("3k3", "3k4", "3k5")] == [[], [], []]
    assert told("3k6", THEIRS) == [1]


def test_what_a_scan_has_compared_is_no_news(told, database):
    with database.write() as connection:
        connection.execute(insert(repo_scan).values(did=DID, rev="3k4"))
    assert told("3k4", THEIRS) == []
    assert told("3k5", THEIRS) == [1]
