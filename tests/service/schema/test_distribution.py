"""`mastertape distribute`: the tables of a database with Citus, each where it belongs."""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import text

from aggregates.tracks.track import Track
from eventstore.coordination import due_parts
from eventstore.event_log import EventLog
from eventstore.streams.buckets import BUCKET, EVERY
from service.observability.readiness import why_not_ready
from service.schema import distribution
from service.schema.distribution import COPIED, Place, place_of
from service.schema.tables import metadata
from tests.buckets.watch import DOCUMENT
from tests.dsl import some_time
from tests.servers.citus import ON_CITUS, SHARDS
from tests.servers.databases import ON_ONE_NODE, migrate
from tests.service.schema.people import ENVELOPE, log_of, typed

PEOPLE = [f"did:plc:person{number}" for number in range(20)]

Distribute = Callable[..., Result]


@pytest.fixture
def log(fresh_citus: str) -> Iterator[EventLog]:
    """Accounts with a track each, on the coordinator; nobody is connected."""
    migrate(fresh_citus)
    with log_of(PEOPLE, fresh_citus) as log:
        yield log


@pytest.fixture
def distribute(fresh_citus: str, tmp_path: Any) -> Distribute:
    return partial(typed, fresh_citus, tmp_path, "distribute")


@ON_ONE_NODE
def test_a_database_without_citus_is_left_as_it_is(migrated_url: str, tmp_path: Any) -> None:
    refused = typed(migrated_url, tmp_path, "distribute", "--yes")
    assert (refused.exit_code, "The database has no Citus" in refused.stderr) == (1, True)


def test_sqlite_has_no_parts(migrated_sqlite: str, tmp_path: Any) -> None:
    refused = typed(migrated_sqlite, tmp_path, "partition", "--parts", "4", "--yes")
    assert (refused.exit_code, "SQLite has no partitions" in refused.stderr) == (1, True)


def test_the_document_says_which_tables_each_node_has_a_copy_of() -> None:
    section = DOCUMENT.read_text().partition("## Tables without a bucket")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("|")]
    said = {name for names, _, place in rows for name in re.findall(r"\w+", names) if "each node" in place}
    assert said == COPIED
    assert {name for name, table in metadata.tables.items() if place_of(table) is Place.BY_BUCKET} == {
        name for name, table in metadata.tables.items() if BUCKET in table.c
    }


@ON_CITUS
def test_it_says_what_it_moves_and_asks_first(log: EventLog, distribute: Distribute) -> None:
    unasked = distribute()
    assert (unasked.exit_code, "Nothing was done; say --yes" in unasked.stderr) == (2, True)
    with log.database.read():
        refused = distribute("--yes")
    assert (refused.exit_code, "1 other connections use the database" in refused.stderr) == (1, True)


@ON_CITUS
def test_the_service_goes_on_with_its_tables_on_several_nodes(log: EventLog, distribute: Distribute) -> None:
    newest = log.stable_position()
    log.database.engine.dispose()
    done = distribute("--shards", str(SHARDS), "--yes", "--json")
    assert {*json.loads(done.stdout)["placed"]} == {Place.BY_BUCKET, Place.COPIED}
    assert json.loads(distribute("--json").stdout) == {"placed": {}}

    parts = due_parts.parts_of(log.database)
    assert (len(parts), sorted(bucket for part in parts for bucket in part)) == (SHARDS, [*EVERY])
    with log.unit_of_work(PEOPLE[0], ENVELOPE) as unit:
        track = unit.load(Track, Track.create_id(1))
        track.edit({"title": "On its node"}, at=some_time(60))
        unit.save(track)
    assert log.stable_position() == newest + 1
    assert why_not_ready(log) is None


@ON_CITUS
def test_a_worker_without_the_lock_timeout_makes_the_service_unready(
    log: EventLog, distribute: Distribute
) -> None:
    distribute("--shards", str(SHARDS), "--yes")
    with log.database.write() as connection:
        name = connection.scalar(text("select current_database()"))
        connection.execute(text(f"alter database {name} reset lock_timeout"))
    assert "lock_timeout is 0 on" in str(why_not_ready(log))
    log.database.engine.dispose()
    distribute("--yes")
    assert distribution.problems(log.database) == []
