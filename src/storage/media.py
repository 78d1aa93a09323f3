"""Which media there is. The row says what may happen to the bytes, and every state leads only forward.

writing -> live -> deleting -> (no row)

Each upload that has to write makes its own row and its own copy under a key that is never used again. So bytes
that a unit may name belong to a `live` row, and bytes that are being deleted belong to a row that never becomes
live again: an upload of the same bytes, a paused sweep and a crash cannot meet in one copy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Index,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from eventstore.database import Database
from eventstore.schema import UtcDateTime, metadata
from storage.cid import new_key
from storage.errors import MediaGoneError
from storage.store import MediaStore

WRITING: Final = "writing"
LIVE: Final = "live"
DELETING: Final = "deleting"

media = Table(
    "media",
    metadata,
    Column("key", Text, primary_key=True),
    Column("cid", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("mime", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("touched_at", UtcDateTime, nullable=False),
    Column("reason", Text),  # why it is being deleted
    CheckConstraint(f"state in ('{WRITING}', '{LIVE}', '{DELETING}')", name="state"),
    Index("ix_media_state_touched_at", "state", "touched_at"),
)
Index(
    "uq_media_live_cid",
    media.c.cid,
    unique=True,
    sqlite_where=media.c.state == LIVE,
    postgresql_where=media.c.state == LIVE,
)

_ATTEMPTS: Final = 3
_CIDS_A_QUERY: Final = 500
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LiveCopy:
    """Live media: what it is and which copy holds it."""

    cid: str
    key: str
    mime: str
    size: int


class Media:
    """The media of this service, in whatever store."""

    def __init__(self, database: Database, store: MediaStore) -> None:
        self.database = database
        self.store = store

    def add(self, cid: str, source: BinaryIO, size: int, mime: str) -> None:
        """Have the bytes live: touch what is there, write what is not. No transaction is open while bytes move."""
        if self.database.in_transaction:
            msg = "media is added before the unit that names it, not inside"
            raise RuntimeError(msg)
        for _ in range(_ATTEMPTS):
            there = self._touch(cid)
            if there is not None and self.store.size(there) == size:
                return
            key = self._begin(cid, size, mime)
            source.seek(0)
            self.store.write(key, source, size, mime)
            if self._complete(key, cid, lost=there):
                return
        raise MediaGoneError(cid)

    def hold(self, connection: Connection, cids: Sequence[str]) -> None:
        """Inside a unit that names them: keep the sweep off until it commits. MediaGoneError unless all are live."""
        wanted = sorted(set(cids))
        rows = connection.execute(
            select(media.c.cid)
            .where(media.c.cid.in_(wanted), media.c.state == LIVE)
            .order_by(media.c.cid)
            .with_for_update()
        )
        live = set(rows.scalars())
        for cid in wanted:
            if cid not in live:
                raise MediaGoneError(cid)
        if wanted:
            connection.execute(
                update(media)
                .where(media.c.cid.in_(wanted), media.c.state == LIVE)
                .values(touched_at=self.database.now(connection))
            )

    def find(self, cid: str) -> LiveCopy | None:
        """Return the live copy, if there is one."""
        with self.database.read() as connection:
            row = connection.execute(
                select(media.c.cid, media.c.key, media.c.mime, media.c.size).where(
                    media.c.cid == cid, media.c.state == LIVE
                )
            ).one_or_none()
        return None if row is None else LiveCopy(*row)

    def read(self, cid: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Stream the bytes from `start` up to, not including, `end`."""
        found = self.find(cid)
        if found is None:
            raise MediaGoneError(cid)
        return self.store.read(found.key, start, end)

    def _touch(self, cid: str) -> str | None:
        with self.database.write() as connection:
            key = _live_key(connection, cid)
            if key is not None:
                _touch_row(connection, self.database, key)
            return key

    def _begin(self, cid: str, size: int, mime: str) -> str:
        key = new_key(cid)
        with self.database.write() as connection:
            connection.execute(
                insert(media).values(
                    key=key,
                    cid=cid,
                    state=WRITING,
                    mime=mime,
                    size=size,
                    touched_at=self.database.now(connection),
                )
            )
        return key

    def _complete(self, key: str, cid: str, lost: str | None) -> bool:
        """Make the written copy live, unless the sweep gave it up (False) or another one already is."""
        for _ in range(_ATTEMPTS):
            try:
                state = self._go_live(key, cid, lost)
            except IntegrityError:
                continue  # the same bytes went live beside us: look again
            if state != LIVE:
                self.store.delete(key)
                self.forget(key)
            return state is not None
        raise MediaGoneError(cid)

    def _go_live(self, key: str, cid: str, lost: str | None) -> str | None:
        with self.database.write() as connection:
            ours = connection.execute(
                select(media.c.state).where(media.c.key == key).with_for_update()
            ).scalar_one_or_none()
            if ours != WRITING:
                return None
            other = _live_key(connection, cid)
            if other is not None and other != lost:
                _touch_row(connection, self.database, other)
                give_up(connection, [key], "the same bytes were already live")
                return DELETING
            if other is not None:
                give_up(connection, [other], "its bytes were missing and have been written again")
            connection.execute(
                update(media)
                .where(media.c.key == key)
                .values(state=LIVE, touched_at=self.database.now(connection))
            )
            return LIVE

    def forget(self, key: str) -> bool:
        """Remove the row of a copy whose bytes have been deleted; False where somebody else did."""
        with self.database.write() as connection:
            removed = connection.execute(delete(media).where(media.c.key == key, media.c.state == DELETING))
            return removed.rowcount == 1


def let_go(connection: Connection, cids: Sequence[str], before: datetime) -> None:
    """Let the next sweep look at these, though they are young; who has touched one since then may be about to name it.

    A row that somebody holds is about to be named: it is passed by.
    """
    for start in range(0, len(cids), _CIDS_A_QUERY):
        some = media.c.cid.in_(cids[start : start + _CIDS_A_QUERY])
        idle = (some, media.c.state == LIVE, media.c.touched_at <= before)
        locked = select(media.c.key).where(*idle).order_by(media.c.cid).with_for_update(skip_locked=True)
        keys = connection.scalars(locked).all()
        connection.execute(update(media).where(media.c.key.in_(keys)).values(touched_at=LONG_AGO))


def give_up(connection: Connection, keys: Sequence[str], reason: str) -> None:
    """Set copies to be deleted, from which there is no way back."""
    connection.execute(update(media).where(media.c.key.in_(keys)).values(state=DELETING, reason=reason))


def _live_key(connection: Connection, cid: str) -> str | None:
    key: str | None = connection.execute(
        select(media.c.key).where(media.c.cid == cid, media.c.state == LIVE).with_for_update()
    ).scalar_one_or_none()
    return key


def _touch_row(connection: Connection, database: Database, key: str) -> None:
    connection.execute(update(media).where(media.c.key == key).values(touched_at=database.now(connection)))
