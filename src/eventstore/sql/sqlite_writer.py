"""Writes to an SQLite file on one connection: transactions take turns, and units that wait for theirs are committed together.

The thread whose turn it is writes its own unit, then those of other threads, each in a savepoint, and commits once.
"""

import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from eventstore.errors import BrokenUnitError, CommitFailedError, LogBusyError
from eventstore.sql.prepared import StaleError, execute, require_open_transaction

MAX_OTHERS: Final = 31
"""Units of other threads in a commit: a transaction that needs a turn of its own waits for no more."""
Connected = AbstractContextManager[sa.Connection]
Write = Callable[[sa.Connection], None]


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A transaction that waits for its turn; a unit, which has a `write`, may be written in another's."""

    write: Write | None
    turn: "Future[bool]" = field(default_factory=Future)
    """True once it is its turn, False once another has committed it."""
    context: Context = field(default_factory=copy_context)

    def is_turn(self, max_wait_seconds: float) -> bool:
        """Wait. Raises what `write` raised, and LogBusyError, after which it is never written."""
        try:
            with suppress(TimeoutError):
                self.turn.exception(max_wait_seconds)
        finally:
            is_withdrawn = self.turn.cancel()
        if is_withdrawn:
            raise LogBusyError
        return self.turn.result()

    def write_on(self, connection: sa.Connection) -> None:
        """Write all of it or, where it raises, nothing. Raises BrokenUnitError where its error has ended the transaction."""
        assert self.write is not None  # noqa: S101 - it is a unit
        dispatch: Any = connection.dispatch
        require_open_transaction(connection)  # a savepoint would begin another
        execute(connection, "SAVEPOINT unit", ())
        try:
            self.context.run(self.write, connection)
            self.context.run(dispatch.commit, connection)  # for its caller's trace
            require_open_transaction(connection)
        except Exception as error:  # noqa: BLE001 - raised in its caller's thread
            self.turn.set_exception(error)
            require_open_transaction(connection)
            execute(connection, "ROLLBACK TO unit", ())
        execute(connection, "RELEASE unit", ())

    def end(self, error: BaseException | None) -> None:
        """End its wait as the transaction ended that it was written in, unless it has failed before."""
        if self.turn.done():
            return
        if error is None:
            self.turn.set_result(False)
        elif isinstance(error, Exception) and not isinstance(error, CommitFailedError):
            self.turn.set_exception(StaleError())
        else:  # an interrupt may come after the commit
            failed = CommitFailedError()
            failed.__cause__ = error.__cause__
            self.turn.set_exception(failed)


class SqliteWriter:
    def __init__(self, engine: sa.Engine, options: Mapping[str, Any], max_wait_seconds: float) -> None:
        self._engine: Final = engine
        self._options: Final = options
        self._max_wait_seconds: Final = max_wait_seconds
        self._lock: Final = threading.Lock()
        """Held to change what follows, never during a transaction."""
        self.idle: sa.Connection | None = None
        """The connection between two transactions: taking it from the pool would cost a sixth of a unit."""
        self._waiting: Final[list[_Waiting]] = []
        self._is_taken = self._is_closed = False

    @contextmanager
    def alone(self) -> Generator[sa.Connection]:
        """Wait for the caller's turn, which ends with the block. Raises LogBusyError."""
        self._take_turn(None)
        with self._turn() as connection:
            yield connection

    def commit(self, write: Write, begin: Callable[[Connected], Connected]) -> None:
        """Write a unit in the caller's turn or in another's, and return once it is committed.

        Raises what `write` raises, LogBusyError and StaleError, where nothing was written, and CommitFailedError.
        """
        if not self._take_turn(write):
            return
        others: list[_Waiting] = []
        try:
            with begin(self._turn()) as connection:
                write(connection)
                while len(others) < MAX_OTHERS and (unit := self._next(is_unit=True)) is not None:
                    others.append(unit)
                    unit.write_on(connection)
            for each in others:
                each.end(None)
        except BaseException as error:
            for each in others:
                each.end(error)
            if others and isinstance(error, BrokenUnitError):
                raise StaleError from error
            raise

    def close(self) -> None:
        """Close the connection, now or after the transaction that uses it."""
        with self._lock:
            self._is_closed = True
            if self.idle is not None:
                self.idle.close()
            self.idle = None

    def _take_turn(self, write: Write | None) -> bool:
        """Return True in the caller's turn, False where another thread has committed what it writes."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            waiting = _Waiting(write)
            self._waiting.append(waiting)
        return waiting.is_turn(self._max_wait_seconds)

    @contextmanager
    def _turn(self) -> Generator[sa.Connection]:
        """Yield the connection, which an error closes, and pass the turn on."""
        try:
            with self._lock:
                kept, self.idle = self.idle, None
            connection = kept or self._engine.connect().execution_options(**self._options)
            try:
                yield connection
                with self._lock:
                    self.idle = None if self._is_closed else connection
            finally:
                if self.idle is None:
                    connection.close()
        finally:
            if (first := self._next()) is not None:
                first.turn.set_result(True)

    def _next(self, *, is_unit: bool = False) -> _Waiting | None:
        """Take out the first that waits still; without one, and for no unit of the turn, the turn is free."""
        with self._lock:
            for each in [each for each in self._waiting if each.write is not None or not is_unit]:
                self._waiting.remove(each)
                if each.turn.set_running_or_notify_cancel():
                    return each
            self._is_taken = is_unit
        return None
