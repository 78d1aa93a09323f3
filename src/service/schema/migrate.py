"""Upgrades the database schema to the newest revision in migrations/, and reads its revision."""

from functools import cache
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from aggregates.errors import ServiceError
from eventstore.sql.database import Database
from eventstore.streams.append import lock_log
from service.schema import buckets

LOCATIONS: Final = (Path(__file__).parents[1] / "migrations", Path(__file__).parents[3] / "migrations")
"""In the wheel, and in a checkout."""

REVISION: Final = sa.text("select version_num from alembic_version")


class OutdatedSchemaError(ServiceError):
    """The database's schema is not of this version."""

    def __init__(self, revision: str | None) -> None:
        found = f"at revision {revision}" if revision else "empty"
        to_do = "run `mastertape migrate`"
        if _is_newer(revision):
            found += " of a newer version"
            to_do = "start that version again, or restore a backup of this one (docs/upgrading.md)"
        super().__init__(f"the database is {found}, this version needs {newest()}: {to_do}")
        self.revision: Final = revision


def upgrade(url: str) -> None:
    """Upgrade the database to the newest schema; concurrent processes wait for each other."""
    database = Database(url)
    try:
        upgrade_database(database)
    finally:
        database.close()


def upgrade_database(database: Database, to: str = "head") -> None:
    """Upgrade an open database, unless it is current, to the newest schema or to a revision. Appends wait meanwhile, but not while rows are given their buckets.

    Raises OutdatedSchemaError for a database of a newer version.
    """
    if (revision := revision_of(database)) == newest():
        return
    if _is_newer(revision):
        raise OutdatedSchemaError(revision)
    if revision is not None:
        _upgrade_to(database, buckets.FROM)
    if revision_of(database) == buckets.FROM:
        buckets.fill(database)
    _upgrade_to(database, to)


def _upgrade_to(database: Database, revision: str) -> None:
    from alembic import command  # noqa: PLC0415 - takes long to load, and is hardly ever needed
    from alembic.config import Config  # noqa: PLC0415

    with database.write() as connection:
        lock_log(connection)
        config = Config()
        config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def revision_of(database: Database) -> str | None:
    """Return the revision of an open database, None without a schema."""
    with database.read() as connection:
        has_schema = sa.inspect(connection).has_table("alembic_version")
        return connection.scalar(REVISION) if has_schema else None


def require_schema(database: Database) -> None:
    """Raise OutdatedSchemaError unless the schema is of this version, neither older nor newer."""
    if (revision := revision_of(database)) != newest():
        raise OutdatedSchemaError(revision)


@cache
def newest() -> str:
    """Return the newest revision of this version; the names of revision files begin with their numbers."""
    return max(file.name.partition("_")[0] for file in (_folder() / "versions").glob("[0-9]*.py"))


def _is_newer(revision: str | None) -> bool:
    return revision is not None and revision > newest()


def _folder() -> Path:
    return next(place for place in LOCATIONS if (place / "env.py").exists())
