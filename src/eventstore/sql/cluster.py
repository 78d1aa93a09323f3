"""What is known of a cluster of Citus: its nodes, and which buckets lie together in a shard."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from eventstore.streams.buckets import BUCKET, BUCKETS, Part

_HAS_CITUS: Final = sa.text("select exists (select from pg_extension where extname = 'citus')")
_IS_DISTRIBUTED: Final = sa.text("""
    select exists (select from pg_dist_partition where logicalrelid = cast(:table as regclass) and partmethod = 'h')
""")
_SHARDS: Final = sa.text(f"""
    select array_agg(bucket order by bucket) from generate_series(0, {BUCKETS - 1}) bucket
    group by get_shard_id_for_distribution_column(cast(:table as regclass), cast(bucket as smallint)) order by min(bucket)
""")  # noqa: S608
_OF_SHARD: Final = re.compile(r"\bof_shard\.(\w+)")
_FOUND: Final = re.compile("<found>([^<]*)</found>")
_PLACES: Final = sa.text(f"""
    with of_bucket as materialized (
        select bucket, get_shard_id_for_distribution_column(cast(:table as regclass), cast(bucket as smallint)) as shardid
        from generate_series(0, {BUCKETS - 1}) bucket
    ), of_node as (select groupid, min(bucket) as bucket from of_bucket join pg_dist_placement using (shardid) group by groupid)
    select bucket, shardminvalue, json_object_agg(logicalrelid, logicalrelid || '_' || shardid) as shards
    from pg_dist_shard join pg_dist_placement using (shardid) join of_node using (groupid)
    where cast(logicalrelid as text) = any(:tables) group by bucket, shardminvalue
""")  # noqa: S608
"""The first bucket of each node, and how a node names its part of each table; copies of whole tables have no value."""
_AT_NODE: Final = """
    select query_to_xml(:query, false, true, '')
    from (select count(*) from (select from {0} where {1} = {2} limit 1) any_row) one_row"""
"""What names a bucket goes to its node as it is, and there the text reads other shards as well."""
_WORKERS: Final = """
    select nodeid, nodename || ':' || nodeport as name, success, result
    from run_command_on_workers(:command) join pg_dist_node using (nodename, nodeport) order by nodeid"""

_LEFT_OVER: Final = sa.text("""
    select nspname from pg_namespace where nspname like 'scratch\\_%'
    and nspname not in (select 'scratch_' || pid from pg_stat_activity where pid <> pg_backend_pid())
""")
_LOOK_IN: Final = sa.text(
    "select set_config('search_path', current_setting('search_path') || ', ' || :schema, false)"
)
_MOVE_TO: Final = """
    create table {0}.{1} (like {1} including all);
    drop table {1};
    select create_distributed_table('{0}.{1}', '{2}', colocate_with => '{3}')"""


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
    return [tuple(buckets) for buckets in connection.scalars(_SHARDS, {"table": table})]


def texts_of(connection: sa.Connection, query: sa.Select[str], table: str) -> Sequence[str]:
    """Return what the query finds; where the table is distributed, in each shard of a node by one command."""
    if not is_distributed(connection, table):
        return connection.scalars(query).all()
    options: dict[str, Any] = {"schema_translate_map": {None: "of_shard"}, "render_schema_translate": True}
    compiled = str(query.compile(connection, compile_kwargs={"literal_binds": True}, **options))
    sql = compiled.replace("%%", "%")  # which the driver would do where a statement has parameters

    def in_shard(names: Mapping[str, str]) -> str:
        return f"({_OF_SHARD.sub(lambda found: names[found[1]], sql)})"

    found = list[str]()
    for bucket, shards in _shards_of_nodes(connection, table, [*{*_OF_SHARD.findall(sql)}]).items():
        of_node = f"select * from ({' union all '.join(map(in_shard, shards))}) of_node (found)"  # noqa: S608
        asked = connection.scalar(sa.text(_AT_NODE.format(table, BUCKET, bucket)), {"query": of_node})
        found += _FOUND.findall(asked or "")
    return found


def _shards_of_nodes(
    connection: sa.Connection, table: str, tables: Sequence[str]
) -> Mapping[int, Sequence[Mapping[str, str]]]:
    """Return the names of the tables in each shard of a node, by its first bucket."""
    of_nodes, copies = defaultdict[int, list[dict[str, str]]](list), dict[str, str]()
    for bucket, value, names in connection.execute(_PLACES, {"table": table, "tables": tables}):
        if value is None:
            copies |= names
        else:
            of_nodes[bucket].append(names)
    return {bucket: [names | copies for names in shards] for bucket, shards in of_nodes.items()}


def on_workers(connection: sa.Connection, command: str) -> list[Answer]:
    """Give each worker a command that returns one value."""
    return [Answer(*row) for row in connection.execute(sa.text(_WORKERS), {"command": command})]


def drop_scratch(connection: sa.Connection) -> None:
    """Drop the scratch tables of this session, and of those that have ended."""
    for schema in connection.scalars(_LEFT_OVER).all():
        connection.exec_driver_sql(f"drop schema {schema} cascade")


def distribute_scratch(connection: sa.Connection, tables: Iterable[str], beside: str) -> None:
    """Put temporary tables of this session on the workers, as permanent ones: Citus has no others that outlive a worker's crash."""
    drop_scratch(connection)
    schema = f"scratch_{connection.scalar(sa.text('select pg_backend_pid()'))}"
    connection.exec_driver_sql(f"create schema {schema}")
    for table in tables:
        connection.exec_driver_sql(_MOVE_TO.format(schema, table, BUCKET, beside))
    connection.execute(_LOOK_IN, {"schema": schema})
