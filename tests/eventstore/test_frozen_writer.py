"""A process that stops in the middle of a unit holds up its own account only, and not for long."""

import signal
import threading
import time
from functools import partial

import pytest
from sqlalchemy import text

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from tests.eventstore.counter import ALICE, BOB, ENVELOPE, Counter
from tests.eventstore.processes import writers
from tests.eventstore.threads import together
from tests.waits import until

SERVER_ENDS_IT_AFTER = 3.0


def holders(database: Database) -> set[int]:
    """The backends that sit in a transaction and wait for their client."""
    query = """
        select pid from pg_stat_activity
        where datname = current_database() and state = 'idle in transaction'
    """
    with database.engine.connect() as connection:
        return set(connection.execute(text(query)).scalars())


def append(log: EventLog, did: str, name: str) -> float:
    """How long it took."""
    started = time.monotonic()
    log.transact(did, ENVELOPE, lambda unit: unit.save(Counter(name=name)))
    return time.monotonic() - started


@pytest.mark.postgres
def test_a_frozen_writer_holds_up_its_own_account_until_the_server_ends_it(postgres: Database) -> None:
    log = EventLog(postgres)
    append(log, BOB, "warm")
    stable_asked, still_frozen = threading.Event(), []

    def others_go_on(frozen: set[int]) -> None:
        assert stable_asked.wait(30)
        took = [append(log, BOB, f"b{n}") for n in range(10)]
        still_frozen.append(frozen <= holders(postgres))
        assert max(took) < SERVER_ENDS_IT_AFTER / 2

    def its_own_account_waits(frozen: set[int]) -> None:
        append(log, ALICE, "a")
        # the server lists a session a moment longer than that holds its locks
        until(lambda: not frozen & holders(postgres))

    def readers_wait_too() -> None:
        stable_asked.set()
        assert log.stable_position() >= 11

    with writers(("hold", postgres.url, "frozen", f"{SERVER_ENDS_IT_AFTER}s")) as [writer]:
        writer.says("holding")
        writer.process.send_signal(signal.SIGSTOP)
        until(lambda: len(holders(postgres)) == 1)
        frozen = holders(postgres)
        together(partial(others_go_on, frozen), partial(its_own_account_waits, frozen), readers_wait_too)
        writer.process.send_signal(signal.SIGCONT)
        writer.go_on()
        error = writer.process.communicate(timeout=30)[1]

    assert still_frozen == [True]
    assert "CommitFailedError" in error
    names = [recorded.event.name for recorded in log.read(after=0, until=log.stable_position(), limit=100)]
    assert sorted(names) == sorted(["warm", "a", *[f"b{n}" for n in range(10)]])
