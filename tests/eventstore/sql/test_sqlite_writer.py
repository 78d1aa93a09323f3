"""Units that wait for SQLite's one writer are committed together, and each has its own result."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, text

from eventstore.errors import BrokenUnitError, CommitFailedError, LogBusyError
from eventstore.event_log import EventLog
from eventstore.sql import sqlite_writer
from eventstore.sql.database import Database
from eventstore.unit_of_work import UnitOfWork
from tests.eventstore import test_commit
from tests.eventstore.conftest import create_tables
from tests.eventstore.counter import ALICE, ENVELOPE, Counter, Totals, append, counter_id, counter_in
from tests.eventstore.threads import DEADLINE
from tests.waits import until

NAMES = "abcdef"
request: ContextVar[str] = ContextVar("request")
Act = Callable[[Connection], None]


@pytest.fixture
def database(fresh_sqlite: str) -> Iterator[Database]:
    database = Database(fresh_sqlite)
    create_tables(database, test_commit.metadata)
    yield database
    database.close()


class Queue:
    """Units and transactions that wait for their turns, in the order in which they came."""

    def __init__(self, log: EventLog, pool: ThreadPoolExecutor) -> None:
        self.log, self._pool = log, pool
        self.tries, self.statements = list[str](), list[str]()

    def add(self, name: str, act: Act | None = None) -> "Future[int]":
        """Add to a counter, and act with its save; the result is the position."""

        def work(unit: UnitOfWork) -> Any:
            self.tries.append(name)
            counter = unit.load(Counter, counter_id(name))
            counter.add(1)
            if act is not None:
                unit.with_save(lambda connection, _: act(connection))
            return unit.save(counter)

        def transact() -> int:
            request.set(name)
            return int(self.log.transact(ALICE, ENVELOPE, work)[0].position)

        return self.wait(transact)

    def wait(self, work: Callable[[], Any]) -> "Future[Any]":
        waiting = self.log.database._writer._waiting  # noqa: SLF001
        before, future = len(waiting), self._pool.submit(work)
        until(lambda: len(waiting) > before or future.done())
        return future

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Have the turn for the block; the statements after it are traced."""
        with self.log.database.write() as connection:
            driver: Any = connection.connection.driver_connection
            yield
            driver.set_trace_callback(self.statements.append)

    @property
    def commits(self) -> int:
        return self.statements.count("COMMIT") - 1  # that of the holder

    def totals(self, names: str) -> list[int]:
        with self.log.database.read() as connection:
            rows = dict(map(tuple, connection.execute(text("select name, total from totals"))))
        found = [counter_in(self.log, each).total for each in names]
        assert [rows[each] for each in names] == found
        return found


@pytest.fixture
def queue(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setattr("eventstore.unit_of_work.MAX_CLOCK_LAG", timedelta(seconds=DEADLINE))
    for name in NAMES:
        append(log, name)
    with ThreadPoolExecutor(len(NAMES) + 1) as pool:
        yield Queue(log, pool)


def test_units_that_wait_are_committed_together_in_their_order(queue: Queue) -> None:
    with queue.holding():
        added = [queue.add(name) for name in NAMES]
    assert [each.result(DEADLINE) for each in added] == list(range(7, 13))
    assert (queue.commits, queue.tries, queue.totals(NAMES)) == (1, list(NAMES), [1] * 6)
    queue.statements.clear()
    append(queue.log, "a", 1)
    assert not [each for each in queue.statements if "unit" in each], "alone, it needs no savepoint"


def test_a_transaction_of_its_own_waits_for_a_group_at_most(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "MAX_OTHERS", 2)

    def newest() -> int:
        with queue.log.database.write() as connection:
            return int(connection.execute(text("select max(position) from stored_event")).scalar_one())

    with queue.holding():
        first, alone, *others = [queue.add("a"), queue.wait(newest), *map(queue.add, NAMES[1:])]
    assert [each.result(DEADLINE) for each in (first, alone, *others)] == [7, 9, 8, 9, 10, 11, 12]
    assert queue.commits == 3


def test_a_unit_on_a_state_that_has_passed_is_decided_again_alone(queue: Queue) -> None:
    with queue.holding():
        added = [queue.add(name) for name in "aab"]
    assert [each.result(DEADLINE) for each in added] == [7, 9, 8]
    assert (queue.commits, queue.tries, queue.totals("ab")) == (2, list("aaba"), [2, 1])


def test_a_unit_that_waited_longer_than_its_time_holds_is_decided_again(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with queue.holding():
        added = queue.add("a")
        monkeypatch.setattr("eventstore.unit_of_work.MAX_CLOCK_LAG", timedelta(0))
    assert (added.result(DEADLINE), queue.tries) == (7, ["a", "a"])


def test_a_unit_that_is_refused_writes_nothing_and_the_others_are_committed(
    queue: Queue, totals: Totals
) -> None:
    append(queue.log, "b", 6)
    totals.fails_at = 7
    with queue.holding():
        first, refused, last = [queue.add(name) for name in "abc"]
    with pytest.raises(RuntimeError):
        refused.result(DEADLINE)
    assert (first.result(DEADLINE), last.result(DEADLINE)) == (8, 9)
    assert (queue.commits, queue.totals("abc")) == (1, [1, 6, 1])


def end_transaction(connection: Connection) -> None:
    connection.exec_driver_sql("ROLLBACK")  # as SQLite does itself on a full disk


def test_units_are_decided_again_where_another_has_ended_their_transaction(queue: Queue) -> None:
    with queue.holding():
        first, second, ends, last = [
            queue.add("a"),
            queue.add("b"),
            queue.add("c", end_transaction),
            queue.add("d"),
        ]
    with pytest.raises(BrokenUnitError):
        ends.result(DEADLINE)
    assert {each.result(DEADLINE) for each in (first, second, last)} == {7, 8, 9}
    assert queue.totals("abcd") == [1, 1, 0, 1]


def interrupt(_: Connection) -> None:
    raise KeyboardInterrupt


def orphan(connection: Connection) -> None:
    connection.execute(insert(test_commit.children).values(name="nobody's"))


@pytest.mark.parametrize(("act", "raised"), [(orphan, CommitFailedError), (interrupt, KeyboardInterrupt)])
def test_a_commit_that_fails_or_is_interrupted_fails_all_of_its_units(
    queue: Queue, act: Act, raised: type[BaseException]
) -> None:
    with queue.holding():
        first, *others = [queue.add("a"), queue.add("b"), queue.add("c", act)]
    with pytest.raises(raised):
        first.result(DEADLINE)
    for each in others:
        with pytest.raises(CommitFailedError):
            each.result(DEADLINE)
    assert (queue.tries, queue.totals("abc")) == (list("abc"), [0] * 3)
    append(queue.log, "a", 1)


def test_a_unit_that_has_waited_too_long_is_refused_and_never_written(queue: Queue) -> None:
    queue.log.database._writer._max_wait_seconds = 0.02  # type: ignore[misc]  # noqa: SLF001
    with queue.holding():
        late = queue.add("a")
        with pytest.raises(LogBusyError):
            late.result(DEADLINE)
    append(queue.log, "b", 1)
    assert queue.totals("ab") == [0, 1]


def test_each_unit_is_written_in_the_context_of_its_caller(queue: Queue) -> None:
    written, committed = list[str](), list[str]()

    def act(connection: Connection) -> None:
        with queue.log.database.write() as joined:
            assert joined is connection
        written.append(request.get())

    with queue.holding():
        added = [queue.add(name, act) for name in "abc"]
        event.listen(queue.log.database.engine, "commit", lambda _: committed.append(request.get("-")))
    assert [each.result(DEADLINE) for each in added] == [7, 8, 9]
    assert (written, sorted(committed), queue.commits) == (list("abc"), list("-abc"), 1)
