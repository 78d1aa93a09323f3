"""References in a table of the same database, like those of the projections."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Column, Connection, MetaData, Table, Text, delete, insert, select

from eventstore.sql.database import Database
from eventstore.sql.schema import UtcDateTime
from storage.media import Media, Reserved

names = Table(
    "names",
    MetaData(),
    Column("cid", Text, primary_key=True),
    Column("released_at", UtcDateTime),
)


class Names:
    """What tells the sweep the names, and calls each of these in the middle of one of its looks."""

    def __init__(self, *asked: Callable[[], None]) -> None:
        self.asked = [*asked]

    def __call__(self, connection: Connection, cids: Sequence[str], released_after: datetime) -> set[str]:
        if self.asked:
            self.asked.pop(0)()
        wanted = names.c.cid.in_(cids) & (
            names.c.released_at.is_(None) | (names.c.released_at > released_after)
        )
        return set(connection.execute(select(names.c.cid).where(wanted)).scalars())


def name(media: Media, cid: str) -> None:
    reserved = Reserved(media)
    reserved.reserve([cid])
    with media.database.write() as connection:
        name_reserved(connection, reserved, cid, media.database.now(connection))


def name_reserved(connection: Connection, reserved: Reserved, cid: str, now: datetime) -> None:
    """What the unit of a command does."""
    reserved.require([cid], now)
    connection.execute(delete(names).where(names.c.cid == cid))
    connection.execute(insert(names).values(cid=cid, released_at=None))


def release(database: Database, cid: str) -> None:
    """The unit of a command after which nothing references the media."""
    with database.write() as connection:
        connection.execute(
            names.update().where(names.c.cid == cid).values(released_at=database.now(connection))
        )


def named_now(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(names.c.cid).where(names.c.released_at.is_(None))).scalars())
