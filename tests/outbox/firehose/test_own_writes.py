"""Of the writes in a commit, only those count that another client made and that are newer than what is known."""

from collections.abc import Callable
from time import thread_time
from typing import Any

import pytest
from sqlalchemy import insert

from eventstore.sql.database import Database
from outbox.firehose.frames import Commit, message_in
from outbox.firehose.own_writes import foreign_writes, record_revision
from outbox.mirror.tables import PAST, delivery_attempt, repo_scan
from tests.outbox.rigs.rows import add_target, change_target
from tests.outbox.rigs.stream_host import CID, commit

DID = "did:plc:1"
OURS, OLD, THEIRS = "ours", "old", "theirs"
EARLIER, ACK, LATER = "3k1", "3k2", "3k3"


@pytest.fixture(name="foreign_in")
def _foreign_in(database: Database) -> Callable[..., list[int]]:
    """A record that was delivered as OURS in the commit ACK; give what a commit to it makes of it."""
    with database.write() as connection:
        add_target(connection, DID, 1, acked_gen=2, desired_gen=2, observed_cid=OURS)
    attempt(database, OLD, gen=1, rev="3k0", outcome="done")
    attempt(database, OURS, gen=2, rev=ACK, outcome="done")

    def foreign_in(rev: str, cid: str | None, path: str = "c/1", did: str = DID) -> list[int]:
        with database.read() as connection:
            found = foreign_writes(connection, did, Commit(rev, {tuple(path.split("/")): cid}))
            return [subject.id for subject in found]

    return foreign_in


def attempt(database: Database, cid: str | None, **columns: Any) -> None:
    with database.write() as connection:
        connection.execute(insert(delivery_attempt), attempt_row(cid, **columns))


def attempt_row(cid: str | None, **columns: Any) -> dict[str, Any]:
    return {
        "did": DID,
        "collection": "c",
        "rkey": "1",
        "gen": 2,
        "op": "put" if cid is not None else "delete",
        "request_cid": cid,
        "epoch": 1,
        "started_at": PAST,
        **columns,
    }


def test_another_clients_write_is_foreign(foreign_in):
    assert foreign_in(LATER, THEIRS) == [1]
    assert foreign_in(LATER, None) == [1]


@pytest.mark.parametrize(
    ("rev", "cid"),
    [(ACK, OURS), (LATER, OURS), (EARLIER, THEIRS), (EARLIER, None), ("3k0", OLD)],
    ids=["the echo", "as it is", "an older edit", "an older delete", "the echo of an older write"],
)
def test_our_own_write_or_one_older_than_our_newest_is_not_foreign(foreign_in, rev, cid):
    assert foreign_in(rev, cid) == []


def test_a_write_of_a_record_that_is_not_ours_is_not_foreign(foreign_in):
    assert foreign_in(LATER, THEIRS, path="c/2") == []
    assert foreign_in(LATER, THEIRS, path="other/1") == []
    assert foreign_in(LATER, THEIRS, did="did:plc:2") == []


def test_an_old_record_of_ours_that_another_client_puts_back_is_foreign(foreign_in):
    assert foreign_in(LATER, OLD) == [1]


@pytest.mark.parametrize("outcome", [None, "ambiguous"])
def test_an_echo_that_comes_before_the_answer_is_known(foreign_in, database, outcome):
    attempt(database, "new", gen=3, outcome=outcome)
    assert foreign_in(LATER, "new") == []
    assert foreign_in(LATER, None) == [1]
    attempt(database, None, gen=4, outcome=outcome)
    assert foreign_in(LATER, None) == []
    assert foreign_in(LATER, THEIRS) == [1]


def test_a_refused_write_of_ours_has_no_echo(foreign_in, database):
    attempt(database, "new", gen=3, outcome="read_back")
    assert foreign_in(LATER, "new") == [1]


def test_the_edit_that_is_held_is_taken_back_by_what_was_there_before(foreign_in, database):
    change_target(database, DID, state="held", conflict_cid=THEIRS)
    assert foreign_in(LATER, OURS) == [1]


def test_the_record_that_an_owner_is_to_decide_on_is_gone_again(foreign_in, database):
    change_target(database, DID, state="rejected", desired_op="delete", observed_cid=None)
    assert foreign_in(LATER, None) == [1]


def test_revisions_that_arrive_again_change_nothing(foreign_in, database):
    assert foreign_in("3k5", THEIRS) == [1]
    with database.write() as connection:
        record_revision(connection, DID, "3k5")
    assert [foreign_in(rev, THEIRS) for rev in ("3k3", "3k4", "3k5")] == [[], [], []]
    assert foreign_in("3k6", THEIRS) == [1]


def test_a_revision_that_a_scan_has_compared_is_not_foreign(foreign_in, database):
    with database.write() as connection:
        connection.execute(insert(repo_scan).values(did=DID, rev="3k4"))
    assert foreign_in("3k4", THEIRS) == []
    assert foreign_in("3k5", THEIRS) == [1]


def test_a_commit_costs_the_same_however_often_the_record_was_delivered_and_is_named(foreign_in, database):
    once, often = ([("c/1", CID)] * times for times in (1, 200))
    cost_of_one = cost(database, once)
    delivered = [attempt_row(OURS, gen=gen, rev=ACK, outcome="done") for gen in range(3, 2000)]
    with database.write() as connection:
        connection.execute(insert(delivery_attempt), delivered)
    change_target(database, DID, acked_gen=1999)

    assert foreign_in(LATER, THEIRS) == [1]
    assert cost(database, often) < 10 * cost_of_one


def cost(database: Database, writes: list[tuple[str, str | None]]) -> float:
    """The least CPU time for telling whose these writes are."""
    message = message_in(commit(1, DID, LATER, *writes))
    assert message is not None
    changed = message.commit
    assert changed is not None
    times = []
    with database.read() as connection:
        for _ in range(5):
            begun = thread_time()
            foreign_writes(connection, DID, changed)
            times.append(thread_time() - begun)
    return min(times)
