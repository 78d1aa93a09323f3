"""What is known of a cluster of Citus: its nodes, and which buckets lie together in a shard."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from eventstore.streams.buckets import BUCKETS, Part

_HAS_CITUS: Final = sa.text("select exists (select from pg_extension where extname = 'citus')")
_IS_DISTRIBUTED: Final = sa.text("""
    select exists (select from pg_dist_partition where logicalrelid = cast(:table as regclass) and partmethod = 'h')
""")
_SHARDS: Final = sa.text(f"""
    select array_agg(bucket order by bucket) from generate_series(0, {BUCKETS - 1}) bucket
    group by get_shard_id_for_distribution_column(cast(:table as regclass), cast(bucket as smallint)) order by min(bucket)
""")  # noqa: S608
_WORKERS: Final = """
    select nodeid, nodename || ':' || nodeport as name, success, result
    from run_command_on_workers(:command) join pg_dist_node using (nodename, nodeport) order by nodeid"""


class Answer(NamedTuple):
    """What a worker answered to a command, or why it did not."""

    node_id: int
    name: str
    success: bool
    result: str


def has_citus(connection: sa.Connection) -> bool:
    return connection.dialect.name == "postgresql" and bool(connection.scalar(_HAS_CITUS))


def is_distributed(connection: sa.Connection, table: str) -> bool:
    """Whether the rows of the table are on several nodes."""
    return has_citus(connection) and bool(connection.scalar(_IS_DISTRIBUTED, {"table": table}))


def shards_of(connection: sa.Connection, table: str) -> Sequence[Part]:
    """Return the buckets of each shard of a table that is distributed."""
    return [tuple(buckets) for buckets in connection.scalars(_SHARDS, {"table": table})]


def on_workers(connection: sa.Connection, command: str) -> list[Answer]:
    """Give each worker a command that returns one value."""
    return [Answer(*row) for row in connection.execute(sa.text(_WORKERS), {"command": command})]
