"""The log as every process opens it."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from service.config.settings import Settings
from service.wiring.log import open_log
from tests.dsl import ALICE, a_track

pytestmark = pytest.mark.postgres


@pytest.fixture
def url_for_one(migrated_postgres: str) -> Iterator[str]:
    """A database whose server gives our role one connection, and no other."""
    owner, role = make_url(migrated_postgres), f"one_{uuid.uuid4().hex[:8]}"
    conninfo = owner.set(drivername="postgresql").render_as_string()
    with psycopg.connect(conninfo, autocommit=True) as server:
        for statement in (
            f"create role {role} login connection limit 1",
            "grant execute on function pg_control_system() to public",
            f"grant all on all tables in schema public to {role}",
            f"grant all on all sequences in schema public to {role}",
        ):
            server.execute(statement.encode())
        yield owner.set(username=role).render_as_string().replace("%2F", "/")
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
