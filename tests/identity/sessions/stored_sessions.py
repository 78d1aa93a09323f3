"""Reads sessions from the database, and looks for secrets in everything that the database and its files contain."""

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


def require_none_of(secrets, database, logs, *, did, errors=""):
    places = {"tables": _dump(database), "files": _files(database), "logs": logs, "errors": errors.encode()}
    assert b"pds_session" in places["logs"]
    assert did.encode() in places["tables"]
    for where, content in places.items():
        for number, secret in enumerate(secrets):
            for written in (secret.encode(), repr(secret.encode())[2:-1].encode()):
                assert written not in content, f"secret {number} is in the {where}"


def _dump(database):
    """The content of every table and view, not only ours."""
    with database.read() as connection:
        found = inspect(connection)
        names = [*found.get_table_names(), *found.get_view_names()]
        everything = [select(text("*")).select_from(table(name)) for name in names]
        rows = [tuple(row) for each in everything for row in connection.execute(each)]
    return b"\n".join(
        bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for row in rows for v in row
    )


def _files(database):
    path = Path(make_url(database.url).database)
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
