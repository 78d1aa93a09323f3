"""Places the tables of a database that has Citus: rows of accounts by bucket, so that those of a bucket lie on one node (ADR 55)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa

from aggregates.errors import ServiceError
from eventstore.sql.cluster import has_citus, is_distributed, on_workers
from eventstore.sql.database import MAX_CLOCK_LAG, POSTGRES_SETTINGS, Database
from eventstore.sql.schema import metadata, stored_event
from eventstore.streams.append import lock_log
from eventstore.streams.buckets import BUCKET, PARTS
from service.schema.partitions import require_alone
from service.schema.tables import MODULES  # noqa: F401 - completes the metadata


class Place(StrEnum):
    BY_BUCKET = "distributed among the workers by bucket"
    COPIED = "copied to every node"
    COORDINATOR = "on the coordinator"


COPIED: Final = frozenset({"pds_host", "log_incarnation", "projection_state"})
"""Tables without a bucket that statements about one account read."""
LOCK_TIMEOUT: Final = POSTGRES_SETTINGS["lock_timeout"]
_PLACES: Final = sa.text("""
    select cast(logicalrelid as text) as name, partmethod = 'h' as is_distributed from pg_dist_partition
    where partmethod = 'h' or repmodel = 't'
""")
_DISTRIBUTE: Final = (
    "select create_distributed_table(:table, :bucket, colocate_with => :beside, shard_count => :shards)"
)
_DISTRIBUTE_BESIDE: Final = "select create_distributed_table(:table, :bucket, colocate_with => :beside)"
_COPY: Final = "select create_reference_table(:table)"
_FORGET_LOCAL_ROWS: Final = "select truncate_local_data_after_distributing_table(:table)"
_WORKERS: Final = sa.text("select count(*) from pg_dist_node where isactive and groupid <> 0")


_FACTS: Final = f"""
    select json_build_array(
        (select extversion from pg_extension where extname = 'citus'), clock_timestamp(),
        current_setting('lock_timeout'), current_setting('lock_timeout')::interval = '{LOCK_TIMEOUT}'::interval)"""  # noqa: S608
_VERSION: Final = sa.text("select extversion from pg_extension where extname = 'citus'")
AGAIN: Final = "run `mastertape distribute`"


class ClusterError(ServiceError):
    """The cluster is not as the service needs it."""


class NoCitusError(ServiceError):
    """The database has no Citus: install it on all nodes, and `create extension citus`. Nothing was changed."""


class NoWorkersError(ServiceError):
    """Citus knows no worker: enter each with `citus_add_node`. Nothing was changed."""


@dataclass(eq=False)
class HasPartsError(ServiceError):
    """{table} has parts on one PostgreSQL: export, and import into an empty database with Citus. Nothing was changed."""

    table: str


def place_of(table: sa.Table) -> Place:
    if BUCKET in table.c:
        return Place.BY_BUCKET
    return Place.COPIED if table.name in COPIED else Place.COORDINATOR


def misplaced(connection: sa.Connection) -> dict[Place, list[str]]:
    """Return the tables that do not lie where they should, by where that is; raises NoCitusError."""
    if not has_citus(connection):
        raise NoCitusError
    found: Mapping[str, bool] = dict(connection.execute(_PLACES).all())
    places = {True: Place.BY_BUCKET, False: Place.COPIED, None: Place.COORDINATOR}
    wrong = sorted(
        (place_of(table), name)
        for name, table in metadata.tables.items()
        if place_of(table) is not places[found.get(name)]
    )
    return {place: [name for _, name in tables] for place, tables in groupby(wrong, lambda each: each[0])}


def require_placed(database: Database) -> None:
    """Raise ClusterError where tables are distributed, and others do not lie where they should, or a worker that answers is set up otherwise."""
    for problem in problems(database, of_silent=False):
        raise ClusterError(problem)


def problems(database: Database, *, of_silent: bool = True) -> list[str]:
    """Say what is wrong with a cluster, and what to do; `of_silent` workers, too."""
    with database.read_committed() as connection:
        if not is_distributed(connection, stored_event.name):
            return []
        found = [
            f"{', '.join(tables)} should be {place}: {AGAIN}"
            for place, tables in misplaced(connection).items()
        ]
        version, before = connection.scalar(_VERSION), database.now(connection)
        workers = on_workers(connection, _FACTS)
        latest = database.now(connection) + MAX_CLOCK_LAG
    for worker in workers:
        if not worker.success:
            found += [f"{worker.name} does not answer: {worker.result}"] * of_silent
            continue
        there, clock, lock_timeout, is_kept = json.loads(worker.result)
        if there != version:
            found.append(
                f"{worker.name} has Citus {there}, the coordinator {version}: `alter extension citus update`"
            )
        if not is_kept:
            found.append(
                f"lock_timeout is {lock_timeout} on {worker.name} instead of {LOCK_TIMEOUT}: {AGAIN}"
            )
        if not before - MAX_CLOCK_LAG <= datetime.fromisoformat(clock) <= latest:
            found.append(
                f"the clock of {worker.name} says {clock}, and the coordinator's {before}: synchronize them"
            )
    return found


def distribute(database: Database, shards: int) -> dict[Place, list[str]]:
    """Place the tables that are not where they should be, each in one transaction, and return them.

    Raises NoCitusError, NoWorkersError, HasPartsError and DatabaseInUseError.
    """
    with database.read() as connection:
        wrong = misplaced(connection)
        if not connection.scalar(_WORKERS):
            raise NoWorkersError
        for table in wrong.get(Place.BY_BUCKET, ()):
            if connection.scalar(PARTS, {"table": table}):
                raise HasPartsError(table)
    # the first is what all others lie beside
    distributed = sorted(wrong.get(Place.BY_BUCKET, ()), key=lambda name: name != stored_event.name)
    for table in (*wrong.get(Place.COPIED, ()), *distributed):
        with database.write() as connection:
            require_alone(connection)
            lock_log(connection)
            _place(connection, metadata.tables[table], shards)
    with database.write() as connection:
        # on any node a statement waits for a lock as long as on the coordinator, at which the options of a session end
        name = connection.scalar(sa.text("select quote_ident(current_database())"))
        connection.exec_driver_sql(f"alter database {name} set lock_timeout = '{LOCK_TIMEOUT}'")
    return wrong


def _place(connection: sa.Connection, table: sa.Table, shards: int) -> None:
    def run(command: str, **values: Any) -> None:
        connection.execute(sa.text(command), {"table": table.name, **values})

    if place_of(table) is Place.COPIED:
        run(_COPY)
    elif table is stored_event:
        run(_DISTRIBUTE, bucket=BUCKET, beside="none", shards=shards)
    else:
        run(_DISTRIBUTE_BESIDE, bucket=BUCKET, beside=stored_event.name)
    run(_FORGET_LOCAL_ROWS)
