"""Databases of a cluster of Citus, where MASTERTAPE_TEST_CITUS_URL names a database of its coordinator that knows the workers."""

import contextlib
import os
import uuid
from collections.abc import Generator, Iterator
from typing import Final

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, make_url

from tests.servers.databases import migrate

GIVEN: Final = os.environ.get("MASTERTAPE_TEST_CITUS_URL")
ON_CITUS: Final = pytest.mark.skipif(
    GIVEN is None, reason="MASTERTAPE_TEST_CITUS_URL names no coordinator of Citus"
)
CITUS: Final = pytest.param("citus", marks=ON_CITUS)
"""A kind of database, for tests that run on it as well."""
SHARDS: Final = 8


@contextlib.contextmanager
def cluster_database() -> Generator[str]:
    """An empty database of that name on each node, with Citus."""
    coordinator = make_url(str(GIVEN)).set(drivername="postgresql")
    with _connected(coordinator) as connection:
        workers = connection.execute(
            "select nodename, nodeport from pg_dist_node where groupid <> 0 order by nodeid"
        ).fetchall()
    nodes = [coordinator, *(coordinator.set(host=host, port=port) for host, port in workers)]
    name = f"t_{uuid.uuid4().hex[:12]}"
    try:
        for node in nodes:
            with _connected(node) as connection:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            with _connected(node.set(database=name)) as connection:
                connection.execute("create extension citus")
        with _connected(coordinator.set(database=name)) as connection:
            connection.execute("select citus_set_coordinator_host(%s, %s)", _place(coordinator))
            for node in nodes[1:]:
                connection.execute("select citus_add_node(%s, %s)", _place(node))
        url = coordinator.set(drivername="postgresql+psycopg", database=name)
        yield url.render_as_string(hide_password=False)
    finally:
        for node in nodes:
            with _connected(node) as connection:
                drop = sql.SQL("drop database if exists {} with (force)")
                connection.execute(drop.format(sql.Identifier(name)))


@contextlib.contextmanager
def migrated_cluster_database() -> Generator[str]:
    from eventstore.database import Database
    from service.schema.distribution import distribute

    with cluster_database() as url:
        migrate(url)
        with contextlib.closing(Database(url)) as database:
            distribute(database, SHARDS)
        yield url


@pytest.fixture
def fresh_citus() -> Iterator[str]:
    with cluster_database() as url:
        yield url


@pytest.fixture
def migrated_citus() -> Iterator[str]:
    with migrated_cluster_database() as url:
        yield url


def _connected(node: URL) -> psycopg.Connection:
    return psycopg.connect(node.render_as_string(hide_password=False), autocommit=True)


def _place(node: URL) -> tuple[str | None, int]:
    return node.host, node.port or 5432
