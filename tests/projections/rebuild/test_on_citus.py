"""A rebuild and a verification of tables that lie on several nodes."""

from collections.abc import Iterator
from contextlib import closing
from unittest.mock import Mock

import pytest
from sqlalchemy import select, text

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from projections.rebuild import rebuild as rebuilding
from projections.rebuild.rebuild import differences, rebuild
from service.schema.tables import READ_MODELS
from tests.dsl import ALICE, BOB
from tests.projections.rebuild.damage import DAMAGE, named, record_a_story, vandalise
from tests.projections.rebuild.test_under_load import Writer
from tests.projections.track_log import track_log
from tests.servers.citus import ON_CITUS

pytestmark = ON_CITUS


@pytest.fixture
def log(migrated_citus: str) -> Iterator[EventLog]:
    with closing(Database(migrated_citus)) as database:
        yield track_log(database)


def test_a_rebuild_repairs_what_a_verification_names_while_writers_go_on(log: EventLog) -> None:
    record_a_story(log)
    vandalise(log)
    assert named(differences(log, READ_MODELS)) == DAMAGE
    writers = [Writer(log, did, first) for did, first in ((ALICE, 100_000), (BOB, 200_000))]
    for writer in writers:
        writer.start()
    rebuild(log, READ_MODELS, page=50)
    while any(writer.is_alive() for writer in writers):
        assert differences(log, READ_MODELS) == []
    assert [writer.error for writer in writers] == [None, None]
    assert differences(log, READ_MODELS) == []


def test_the_next_run_drops_what_one_left_that_was_cut_off(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = record_a_story(log)
    with monkeypatch.context() as patched:
        patched.setattr(rebuilding, "subjects_that_differ", Mock(side_effect=KeyboardInterrupt))
        patched.setattr(rebuilding, "drop_scratch", Mock())
        with pytest.raises(KeyboardInterrupt):
            rebuild(log, READ_MODELS)
    assert scratch_schemas(log)
    assert rebuild(log, READ_MODELS) == dict.fromkeys(rows, 0)
    assert not scratch_schemas(log)


def scratch_schemas(log: EventLog) -> list[str]:
    with log.database.read() as connection:
        named = select(text("nspname")).select_from(text("pg_namespace"))
        return list(connection.scalars(named.where(text(r"nspname like 'scratch\_%'"))))
