"""Track ids: each is issued once."""

from sqlalchemy import Connection, insert

from eventstore.schema import track_id_sequence


def next_track_id(connection: Connection, did: str) -> int:
    """Issue the id of a new track of the account; PostgreSQL does not reissue the id of a unit that was rolled back."""
    ids = insert(track_id_sequence).values(did=did).returning(track_id_sequence.c.id)
    return int(connection.execute(ids).scalar_one())
