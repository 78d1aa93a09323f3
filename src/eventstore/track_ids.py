"""The numbers of tracks: each is given out once."""

from sqlalchemy import Connection, insert

from eventstore.schema import track_id_sequence


def next_track_id(connection: Connection, did: str) -> int:
    """Take the number of a new track of the account; one that is rolled back is not taken again on PostgreSQL."""
    ids = insert(track_id_sequence).values(did=did).returning(track_id_sequence.c.id)
    return int(connection.execute(ids).scalar_one())
