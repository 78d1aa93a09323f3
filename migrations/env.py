"""Run by alembic: on the connection of service/schema/migrate.py, or for a developer on the database of -x url=..."""

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection

from eventstore.sql.database import Database
from eventstore.sql.schema import Json, Position, UtcDateTime
from service.schema.tables import is_compared, metadata


def run(connection: Connection) -> None:
    """Apply the revisions in the transaction that is open, so that a failure leaves the schema as it was."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transactional_ddl=True,
        compare_server_default=True,
        include_object=is_compared,
        render_item=rendered,
    )
    with context.begin_transaction():
        context.run_migrations()


def rendered(_kind: str, item: object, autogen: AutogenContext) -> str | bool:
    """Write our own types by their names, whose meaning never changes."""
    names = {
        "Json": item is Json,
        "Position": item is Position,
        "UtcDateTime()": isinstance(item, UtcDateTime),
    }
    name = next((name for name, found in names.items() if found), None)
    if name is None:
        return False
    autogen.imports.add(f"from eventstore.sql.schema import {name.removesuffix('()')}")
    return name


def main() -> None:
    if (connection := context.config.attributes.get("connection")) is not None:
        run(connection)
        return
    database = Database(context.get_x_argument(as_dictionary=True)["url"])
    with database.write() as connection:
        run(connection)
    database.close()


main()
