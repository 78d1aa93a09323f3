"""The log as every process opens it."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from service.config.settings import Settings
from service.wiring.log import open_log
from tests.dsl import ALICE, a_track
from tests.servers.databases import connection_to, text_of

pytestmark = pytest.mark.postgres


@pytest.fixture
def url_for_one(migrated_postgres: str) -> Iterator[str]:
    """A database whose server gives our role one connection, and no other."""
    role = f"one_{uuid.uuid4().hex[:8]}"
    with connection_to(migrated_postgres) as server:
        for statement in (
            f"create role {role} login connection limit 1",
            "grant execute on function pg_control_system() to public",
            f"grant all on all tables in schema public to {role}",
            f"grant all on all sequences in schema public to {role}",
        ):
            server.execute(statement.encode())
        yield text_of(make_url(migrated_postgres).set(username=role))
        server.execute(f"drop owned by {role}".encode())
        server.execute(f"drop role {role}".encode())


def test_commands_go_on_without_a_spare_connection_as_long_as_their_pool_has_one(
    migrated_postgres: str, url_for_one: str, tmp_path: Path
) -> None:
    with closing(open_log(Settings(database_url=migrated_postgres, data=tmp_path))) as known:
        save(known, 1)
    with closing(open_log(Settings(database_url=url_for_one, data=tmp_path))) as log:
        save(log, 2)
        with pytest.raises(OperationalError, match="too many connections"):
            Database(url_for_one).engine.connect()
        save(log, 3)


def save(log: EventLog, number: int) -> None:
    with log.unit_of_work(ALICE, Envelope("artist", "test", "r")) as unit:
        unit.save(a_track(number))
