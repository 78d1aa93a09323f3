"""The rows of a database, for everything in tests that has one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Executable, text

from eventstore.sql.database import Database


class HasRows:
    database: Database

    def rows(self, statement: Executable) -> Sequence[Any]:
        with self.database.read() as connection:
            return connection.execute(statement).all()

    def scalars(self, statement: Executable) -> Sequence[Any]:
        """The first column of each row."""
        return [row[0] for row in self.rows(statement)]

    def execute(self, statement: Executable) -> None:
        with self.database.write() as connection:
            connection.execute(statement)

    @contextmanager
    def cannot_hold(self, table: str, rows: str) -> Iterator[None]:
        """During the block, PostgreSQL refuses these rows as it does one that is too long for an index."""
        self.execute(text(REFUSE))
        this = f"before insert or update on {table} for each row when ({rows})"
        self.execute(text(f"create trigger too_long {this} execute function refuse()"))
        try:
            yield
        finally:
            self.execute(text(f"drop trigger too_long on {table}"))


REFUSE = """
    create function refuse() returns trigger language plpgsql as $$
    begin raise exception 'the row is too long' using errcode = 'program_limit_exceeded'; end $$
"""
