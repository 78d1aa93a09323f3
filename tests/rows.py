"""The rows of a database, for everything in tests that has one."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable

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
