"""A process of its own that appends: `python -m tests.eventstore.writer hold|append URL NAME ...`."""

import contextlib
import sys

from eventstore.errors import AggregateNotFoundError
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.unit_of_work import UnitOfWork
from tests.eventstore.counter import ALICE, ENVELOPE, Counter, counter_id


def hold(url: str, name: str, timeout: str) -> None:
    """Append, print so, and commit after a line on stdin."""
    held = Database(url, postgres={"idle_in_transaction_session_timeout": timeout})
    with contextlib.closing(held) as database, EventLog(database).unit_of_work(ALICE, ENVELOPE) as unit:
        unit.save(Counter(name=name))
        say("holding")
        sys.stdin.readline()
    say("committed")


def append(url: str, name: str, times: str) -> None:
    """After a line on stdin, open the database and add one to a counter, so many times."""
    say("ready")
    sys.stdin.readline()

    def add_one(unit: UnitOfWork) -> None:
        try:
            counter = unit.load(Counter, counter_id(name))
        except AggregateNotFoundError:
            counter = Counter(name=name)
        counter.add(1)
        unit.save(counter)

    with contextlib.closing(Database(url)) as database:
        log = EventLog(database)
        for _ in range(int(times)):
            log.transact(ALICE, ENVELOPE, add_one)
    say("done")


def say(what: str) -> None:
    print(what, flush=True)  # noqa: T201


if __name__ == "__main__":
    {"hold": hold, "append": append}[sys.argv[1]](*sys.argv[2:])
