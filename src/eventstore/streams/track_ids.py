"""Track ids: each is issued once."""

from sqlalchemy import Connection, insert, text

from eventstore.append import insert_of
from eventstore.schema import track_id_sequence


def next_track_id(connection: Connection, did: str) -> int:
    """Issue the id of a new track of the account; PostgreSQL does not reissue the id of a unit that was rolled back."""
    ids = insert(track_id_sequence).values(did=did).returning(track_id_sequence.c.id)
    return int(connection.execute(ids).scalar_one())


def issue_only_above(connection: Connection, number: int) -> None:
    """Issue no id up to `number` from now on; the caller holds the log's lock, so that none is being issued."""
    used = insert_of(connection.dialect.name, track_id_sequence).values(id=number, did="")
    connection.execute(used.on_conflict_do_nothing())
    if connection.dialect.name == "postgresql":  # SQLite counts on from the largest by itself
        sequence = "pg_get_serial_sequence('track_id_sequence', 'id')::regclass"
        newest = f"greatest(:number, coalesce(pg_sequence_last_value({sequence}), 0))"
        connection.execute(text(f"select setval({sequence}, {newest})"), {"number": number})
