"""Empty and migrated databases of both kinds."""

import contextlib
import os
import shutil
import sqlite3
import uuid
from collections import defaultdict
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, make_url

from tests.buckets.checker import DIVIDED
from tests.servers.postgres import PostgresServer

CITUS_URL = os.environ.get("MASTERTAPE_TEST_CITUS_URL")
KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
AND_CITUS = ["citus"] * bool(CITUS_URL)
"""A kind more, where there is one, for what several nodes might change."""
ON_SQLITE = pytest.mark.databases("sqlite")
"""For a test of what no database decides, such as how a request is read or refused: it runs once, not on both."""
ON_POSTGRES = pytest.mark.databases(KINDS[1])
"""For a test of what SQLite has not, such as several parts."""
ON_BOTH = pytest.mark.databases(*KINDS, *AND_CITUS)
"""For one of a module whose other tests need one."""
ON_ONE_NODE = pytest.mark.databases(*KINDS)
"""For turns and limits over all accounts, of which each of several nodes has its own (docs/adr/0055-citus.md), and for plans."""
IN_ONE_PART = pytest.mark.skipif(DIVIDED, reason="about tables that are not divided")


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if (chosen := metafunc.definition.get_closest_marker("databases")) is not None:
        for name in ("migrated_url", "database_url"):
            if name in metafunc.fixturenames:
                mark = pytest.mark.parametrize(name, chosen.args, indirect=True)
                metafunc.definition.add_marker(mark)


def migrate(url: str) -> None:
    from service.schema.migrate import upgrade

    upgrade(url)
    if DIVIDED and not url.startswith("sqlite"):
        divide(url, int(os.environ["TEST_PARTS"]))


def divide(url: str, parts: int) -> None:
    """Divide the tables: TEST_PARTS has every test of PostgreSQL run on parts."""
    from eventstore.sql.database import Database
    from service.schema.partitions import partition

    with contextlib.closing(Database(url)) as database:
        partition(database, parts)


def revision(url: str) -> str | None:
    from eventstore.sql.database import Database
    from service.schema.migrate import revision_of

    with contextlib.closing(Database(url)) as database:
        return revision_of(database)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL server where databases may be created; one that we start is fast and not durable."""
    if given := os.environ.get("DATABASE_URL"):
        url = text_of(make_url(given).set(drivername="postgresql+psycopg"))
        with kept_connection(url):
            yield url
        return
    server = PostgresServer()
    try:
        server.start()
        with kept_connection(server.url):
            yield server.url
    finally:
        server.remove()


@pytest.fixture
def durable_postgres() -> Iterator[PostgresServer]:
    """A running server of our own with durable commits, which a test may stop, kill and start again."""
    server = PostgresServer(durable=True)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def fresh_postgres(postgres_url: str) -> Iterator[str]:
    with temporary_database(postgres_url) as url:
        yield url


@pytest.fixture
def fresh_sqlite(tmp_path: Path) -> str:
    """An SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'mastertape.db'}"


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"fresh_{request.param}"))


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[str]:
    with temporary_database(postgres_url) as url:
        migrate(url)
        as_template(postgres_url, str(make_url(url).database))
        yield str(make_url(url).database)


@pytest.fixture
def migrated_postgres(postgres_url: str, postgres_template: str) -> Iterator[str]:
    with temporary_database(postgres_url, postgres_template) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def migrated_sqlite(sqlite_template: Path, fresh_sqlite: str) -> str:
    # which has no connection left: to copy the file costs half of what a backup does
    shutil.copyfile(sqlite_template, str(make_url(fresh_sqlite).database))
    return fresh_sqlite


@pytest.fixture(params=[*KINDS, *AND_CITUS])
def migrated_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"migrated_{request.param}"))


def clone_sqlite(template: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(template)) as old,
        contextlib.closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def as_template(server: str, name: str) -> None:
    """End all connections to the database, and let nobody connect: with one, PostgreSQL would not clone it."""
    execute(server, "alter database {} with allow_connections false", name)
    end = "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = %s"
    execute(server, end, values=[name])


@contextlib.contextmanager
def temporary_database(
    server: str,
    template: str = "template0",
    options: LiteralString = "strategy file_copy",
    name: str = "",
) -> Generator[str]:
    """A database that exists during the block: empty, or a clone of `template`."""
    name = name or new_name()
    execute(server, "create database {} template {} " + options, name, template)
    try:
        yield text_of(make_url(server).set(database=name))
    finally:
        _ended[server].append(name)
        _drop_ended(server, but=NEWEST if server in _kept else 0)


def new_name() -> str:
    return f"t_{uuid.uuid4().hex[:12]}"


NEWEST = 4
"""Not dropped yet: as long as a connection is closing, PostgreSQL sleeps 100 ms before it drops its database."""
_ended: defaultdict[str, list[str]] = defaultdict(list)
_kept: dict[str, psycopg.Connection] = {}
"""Kept open: each test creates and drops a database, and two new connections would cost as much as that."""


@contextlib.contextmanager
def kept_connection(server: str) -> Generator[None]:
    with connection_to(server) as _kept[server]:
        try:
            yield
        finally:
            _drop_ended(server, but=0)
            del _kept[server]


def _drop_ended(server: str, *, but: int) -> None:
    """Drop the databases whose tests have ended, except the newest."""
    ended = _ended[server]
    while len(ended) > but:
        execute(server, "drop database {} with (force)", ended.pop(0))


def connection_to(server: str) -> psycopg.Connection:
    conninfo = text_of(make_url(server).set(drivername="postgresql"))
    return psycopg.connect(conninfo, autocommit=True)


def execute(server: str, statement: LiteralString, *names: str, values: list[str] | None = None) -> None:
    kept = _kept.get(server)
    with contextlib.nullcontext(kept) if kept is not None else connection_to(server) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)), values)


def text_of(url: URL) -> str:
    # A "%2F" in a URL would be taken for an interpolation by configuration files.
    return url.render_as_string(hide_password=False).replace("%2F", "/")
