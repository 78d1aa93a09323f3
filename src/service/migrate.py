"""The schema, which the revisions in migrations/ own: bring a database to the newest one, or say how far it is."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column

from eventstore.database import Database
from eventstore.locks import lock_for_append
from eventstore.schema import stored_event
from service.tables import metadata

LOCATIONS: Final = (Path(__file__).parent / "migrations", Path(__file__).parents[2] / "migrations")
"""In the wheel, and in a checkout."""

INDEXES_OF_EXPRESSIONS: Final = frozenset(
    index.name
    for table in metadata.tables.values()
    for index in table.indexes
    if not all(isinstance(each, Column) for each in index.expressions)
)


class OutdatedSchemaError(Exception):
    """The database's schema is not of this version."""

    def __init__(self, revision: str | None) -> None:
        found = f"at revision {revision}" if revision else "empty"
        super().__init__(f"the database is {found}, this version needs {newest()}: run `mastertape migrate`")
        self.revision: Final = revision


def upgrade(url: str) -> None:
    """Bring the database to the newest schema, all of it or nothing; of several processes one at a time does it."""
    database = Database(url)
    try:
        upgrade_database(database)
    finally:
        database.close()


def upgrade_database(database: Database) -> None:
    """Do it on a database that is open already. Appends wait meanwhile."""
    with database.write() as connection:
        lock_for_append(connection, stored_event, None)
        config = Config()
        config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def current(url: str) -> str | None:
    """Return the revision of the database, None when it has no schema yet."""
    database = Database(url)
    try:
        return revision_of(database)
    finally:
        database.close()


def revision_of(database: Database) -> str | None:
    """Return the revision of a database that is open already."""
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def require_schema(database: Database) -> None:
    """Refuse an older schema, and a newer one as well."""
    if (revision := revision_of(database)) != newest():
        raise OutdatedSchemaError(revision)


def newest() -> str:
    """Return the newest revision that this version knows."""
    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    (head,) = ScriptDirectory.from_config(config).get_heads()
    return head


def is_compared(_item: object, name: str | None, kind: str, *_: object) -> bool:
    """Whether alembic can tell what is declared from what is there, which it cannot where databases rewrite expressions."""
    return kind != "index" or name not in INDEXES_OF_EXPRESSIONS


def _folder() -> Path:
    return next(place for place in LOCATIONS if (place / "env.py").exists())
