"""Databases of a cluster of Citus, where MASTERTAPE_TEST_CITUS_URL names a database of its coordinator that knows the workers."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import pytest
from sqlalchemy import make_url

from eventstore.streams.buckets import bucket_of
from tests.servers.databases import (
    CITUS_URL,
    as_template,
    connection_to,
    execute,
    kept_connection,
    migrate,
    new_name,
    temporary_database,
    text_of,
)

ON_CITUS = pytest.mark.skipif(
    CITUS_URL is None, reason="MASTERTAPE_TEST_CITUS_URL names no coordinator of Citus"
)
CITUS = pytest.param("citus", marks=ON_CITUS)
"""A kind of database, for tests that run on it as well."""
SHARDS, MANY_SHARDS = 8, 32
OF_MANY_SHARDS = pytest.param("citus_of_many_shards", marks=ON_CITUS)


def nodes_of(url: str, which: str = "groupid <> 0") -> list[str]:
    """Return the URLs of the same database at other nodes: the workers."""
    with connection_to(url) as coordinator:
        query = f"select nodename, nodeport from pg_dist_node where {which} order by groupid"  # noqa: S608
        places = coordinator.execute(query.encode()).fetchall()
    return [text_of(make_url(url).set(host=host, port=port)) for host, port in places]


def worker_of(url: str, did: str) -> str:
    """Return the URL of the database at the worker that has the account's rows."""
    shard = f"get_shard_id_for_distribution_column('stored_event', {bucket_of(did)}::smallint)"
    [found] = nodes_of(url, f"groupid = (select groupid from pg_dist_placement where shardid = {shard})")  # noqa: S608
    return found


def keep_lock_timeout(node: str, name: str) -> None:
    """Do it again: a clone has not the settings of its template."""
    execute(node, "alter database {} set lock_timeout = '10s'", name)


class WorkerBackup:
    """The database at one worker, as it is now; `put_back` restores it alone."""

    def __init__(self, url: str) -> None:
        self._server, self._name = at_server(url)
        self._copy = new_name()
        with away(url):
            execute(self._server, "create database {} template {}", self._copy, self._name)

    def put_back(self) -> None:
        execute(self._server, "drop database {} with (force)", self._name)
        execute(self._server, "alter database {} rename to {}", self._copy, self._name)
        keep_lock_timeout(self._server, self._name)


@contextmanager
def away(url: str) -> Generator[None]:
    """End all connections to the database at a node, and let nobody connect."""
    server, name = at_server(url)
    as_template(server, name)
    yield
    execute(server, "alter database {} with allow_connections true", name)


def at_server(url: str) -> tuple[str, str]:
    """Return the URL of another database at the node, and the name of this one."""
    return text_of(make_url(url).set(database="postgres")), str(make_url(url).database)


@pytest.fixture(scope="session")
def citus_nodes() -> Iterator[list[str]]:
    """The coordinator and the workers."""
    coordinator = text_of(make_url(str(CITUS_URL)))
    found = [coordinator, *nodes_of(coordinator)]
    with ExitStack() as stack:
        for node in found:
            stack.enter_context(kept_connection(node))
        yield found


@contextmanager
def cluster_database(nodes: Sequence[str], template: str = "template0") -> Generator[str]:
    """A database of one name on each node: empty, with Citus, or a clone of `template`."""
    name = new_name()
    with ExitStack() as stack:
        urls = [stack.enter_context(temporary_database(node, template, name=name)) for node in nodes]
        if template == "template0":
            _make_cluster(urls)
        else:
            for node in nodes:
                keep_lock_timeout(node, name)
        yield urls[0]


def _make_cluster(urls: Sequence[str]) -> None:
    for url in urls:
        execute(url, "create extension citus")
    places = [(parsed.host, parsed.port or 5432) for parsed in map(make_url, urls)]
    with connection_to(urls[0]) as coordinator:
        coordinator.execute("select citus_set_coordinator_host(%s, %s)", places[0])
        for place in places[1:]:
            coordinator.execute("select citus_add_node(%s, %s)", place)


@pytest.fixture(scope="session")
def citus_template(citus_nodes: list[str]) -> Iterator[str]:
    with cluster_database(citus_nodes) as url:
        distributed(url)
        for node in citus_nodes:
            as_template(node, str(make_url(url).database))
        yield str(make_url(url).database)


def distributed(url: str, shards: int = SHARDS) -> None:
    """Migrate the database, and distribute its tables."""
    from eventstore.sql.database import Database
    from service.schema.distribution import distribute

    migrate(url)
    with closing(Database(url)) as database:
        distribute(database, shards)


@pytest.fixture
def migrated_citus_of_many_shards(fresh_citus: str) -> str:
    distributed(fresh_citus, MANY_SHARDS)
    return fresh_citus


@pytest.fixture
def fresh_citus(citus_nodes: list[str]) -> Iterator[str]:
    with cluster_database(citus_nodes) as url:
        yield url


@pytest.fixture
def migrated_citus(citus_nodes: list[str], citus_template: str) -> Iterator[str]:
    with cluster_database(citus_nodes, citus_template) as url:
        yield url
