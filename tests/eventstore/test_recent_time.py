"""Polls and the ends of logins go by the time that the server told last, and by what has passed since."""

from contextlib import closing

import pytest

from eventstore.sql.database import RECENT_SECONDS, Database
from tests.statements import recorded_statements

pytestmark = pytest.mark.postgres


def test_the_server_is_asked_for_it_once_in_ten_seconds(migrated_postgres: str) -> None:
    with closing(Database(migrated_postgres)) as database:

        def asked() -> int:
            with recorded_statements(database.engine) as seen, database.read_committed() as connection:
                recent = database.recent_now(connection)
                number = len(seen)
                assert abs(database.now(connection) - recent).total_seconds() < 1
            return number

        assert asked() == 1
        assert asked() == 0
        heard = database._heard  # noqa: SLF001
        assert heard is not None
        database._heard = heard[0], heard[1] - RECENT_SECONDS  # noqa: SLF001
        assert asked() == 1
