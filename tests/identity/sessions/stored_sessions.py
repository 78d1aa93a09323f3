"""Reads sessions from the database, and everything that the database and its files contain."""

from pathlib import Path

from sqlalchemy import inspect, select, table, text, update
from sqlalchemy.engine import make_url

from identity.sessions.session_store import pds_session


def session_row(database):
    with database.read() as connection:
        return connection.execute(select(pds_session)).one()


def expire(database):
    with database.write() as connection:
        connection.execute(update(pds_session).values(access_expires_at=database.now(connection)))


def dump(database):
    """The content of every table and view, not only ours."""
    with database.read() as connection:
        found = inspect(connection)
        names = [*found.get_table_names(), *found.get_view_names()]
        everything = [select(text("*")).select_from(table(name)) for name in names]
        rows = [tuple(row) for each in everything for row in connection.execute(each)]
    return b"\n".join(
        bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for row in rows for v in row
    )


def files(database):
    if not database.is_sqlite:
        return b""
    path = Path(make_url(database.url).database)
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
