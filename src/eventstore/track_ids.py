"""The numbers of tracks: each is given out once."""

from sqlalchemy import Connection, insert

from eventstore.schema import track_id_sequence


def next_track_id(connection: Connection, did: str) -> int:
    """Give a new track of the account its number; one that is rolled back is not given out again on PostgreSQL."""
    ids = insert(track_id_sequence).values(did=did).returning(track_id_sequence.c.id)
    return int(connection.execute(ids).scalar_one())
