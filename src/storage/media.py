"""The media rows: one per stored copy of bytes, with a state that decides what may happen to the copy; and what commands reserve.

Each upload that writes makes its own row and copy, under a key that is never used again. A row returns to an earlier state
only while it has no reason yet: the sweep then withdraws its mark. Bytes are deleted once it has one, so an upload, a paused
sweep and a crash can never act on the same copy.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from aggregates.states import State
from eventstore.sql.database import Database, pages
from eventstore.sql.schema import UtcDateTime, metadata, partial_index
from storage.cid import new_key
from storage.errors import MediaGoneError, NotReservedError, StoreUnavailableError
from storage.stores.store import MediaStore
from storage.taken_down import require_not_taken_down


class MediaState(State):
    """States of a stored copy of media."""

    WRITING = "writing", "an upload writes its bytes to the store"
    LIVE = "live", "its bytes are complete; tracks may reference it"
    DELETING = (
        "deleting",
        "its bytes are being deleted; it becomes live again only if the sweep's second look finds it named",
    )


media = sa.Table(
    "media",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("cid", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("mime", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("touched_at", UtcDateTime, nullable=False),
    sa.Column("reserved_at", UtcDateTime),
    sa.Column("reason", sa.Text),  # why it is being deleted, which is then final
    sa.CheckConstraint(f"state in ({', '.join(repr(str(state)) for state in MediaState)})", name="state"),
    sa.Index("ix_media_state_touched_at", "state", "touched_at"),
)
IS_LIVE: Final = media.c.state == MediaState.LIVE
partial_index("uq_media_live_cid", media.c.cid, where=IS_LIVE, unique=True)

RESERVATION_TTL: Final = timedelta(minutes=5)
"""How long after it has reserved bytes a command may name them: a small part of the grace time of the sweep, a day at least."""
RESERVED_FOR: Final = 2 * RESERVATION_TTL
"""How long the sweep keeps reserved bytes, whatever else has ended their grace time: a unit that names them has ended by then."""
_ATTEMPTS: Final = 3
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


T = TypeVar("T")


class Media:
    """Adds, reserves and reads media; the bytes are in `store`, the rows in `database`."""

    def __init__(self, database: Database, store: MediaStore) -> None:
        self.database = database
        self.store = store

    def add(self, cid: str, source: BinaryIO, size: int, mime: str) -> None:
        """Make the bytes live: touch an existing copy, or write one; raises TakenDownError.

        No transaction is open while bytes are written.
        """
        if self.database.in_transaction:
            msg = "media is added before the unit that names it, not inside"
            raise RuntimeError(msg)
        for _ in range(_ATTEMPTS):
            with self.database.write() as connection:
                require_not_taken_down(connection, [cid])
                existing = _live_key(connection, cid)
                if existing is not None:
                    _touch_row(connection, self.database, existing)
            if existing is not None and self.store.size(existing) == size:
                return
            key = new_key(cid)
            row = {"key": key, "cid": cid, "state": MediaState.WRITING, "mime": mime, "size": size}
            with self.database.write() as connection:
                now = self.database.now(connection)
                connection.execute(sa.insert(media).values(**row, touched_at=now))
            source.seek(0)
            self.store.write(key, source, size, mime)
            if self._complete(key, cid, lost=existing):
                return
        raise MediaGoneError(cid)

    def reserve(self, cids: Collection[str]) -> datetime:
        """Keep the sweep from these for a unit that names them within RESERVATION_TTL; returns since when.

        Raises MediaGoneError unless all are live, and TakenDownError.
        """
        wanted = sorted(set(cids))
        with self.database.write() as connection:
            these = sa.select(media.c.cid).where(media.c.cid.in_(wanted), IS_LIVE)
            live = set(connection.scalars(these.order_by(media.c.cid).with_for_update()))
            for cid in wanted:
                if cid not in live:
                    raise MediaGoneError(cid)
            require_not_taken_down(connection, wanted)
            now = self.database.now(connection)
            reserved = sa.update(media).where(media.c.cid.in_(wanted), IS_LIVE)
            connection.execute(reserved.values(touched_at=now, reserved_at=now))
            return now

    def find(self, cid: str) -> sa.Row[str, str, str, int] | None:
        """Return the CID, the key, the MIME type and the size of the live copy."""
        with self.database.read() as connection:
            copy = sa.select(media.c.cid, media.c.key, media.c.mime, media.c.size)
            return connection.execute(copy.where(media.c.cid == cid, IS_LIVE)).one_or_none()

    def read(self, cid: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Stream the bytes from `start` up to, not including, `end`."""
        found = self.find(cid)
        if found is None:
            raise MediaGoneError(cid)
        return self.store.read(found.key, start, end)

    def _complete(self, key: str, cid: str, lost: str | None) -> bool:
        """Make the written copy live or delete it for another live one; False if the sweep is deleting it."""
        for _ in range(_ATTEMPTS):
            try:
                state = self._go_live(key, cid, lost)
            except IntegrityError:
                continue  # another upload of the same bytes went live first: read again
            if state != MediaState.LIVE:
                self.store.delete(key)
                self.delete_row(key)
            return state is not None
        raise MediaGoneError(cid)

    def _go_live(self, key: str, cid: str, lost: str | None) -> str | None:
        with self.database.write() as connection:
            ours = sa.select(media.c.state).where(media.c.key == key).with_for_update()
            if connection.scalar(ours) != MediaState.WRITING:
                return None
            other = _live_key(connection, cid)
            if other is not None and other != lost:
                _touch_row(connection, self.database, other)
                mark_deleting(connection, [key], "the same bytes were already live")
                return MediaState.DELETING
            if other is not None:
                mark_deleting(connection, [other], "its bytes were missing and have been written again")
            live = {"state": MediaState.LIVE, "touched_at": self.database.now(connection)}
            connection.execute(sa.update(media).where(media.c.key == key).values(live))
            return MediaState.LIVE

    def delete_row(self, key: str) -> bool:
        """Delete the row of a copy whose bytes have been deleted; False if another process already did."""
        with self.database.write() as connection:
            this = (media.c.key == key, media.c.state == MediaState.DELETING)
            return connection.execute(sa.delete(media).where(*this)).rowcount == 1


class Reserved:
    """The bytes that one command may name, each since when it is reserved."""

    def __init__(self, media: Media) -> None:
        self._media: Final = media
        self._since: Final[dict[str, datetime]] = {}

    def reserve(self, cids: Collection[str]) -> None:
        """Reserve these, in a transaction before the unit; raises as `Media.reserve`."""
        if cids:
            self._since.update(dict.fromkeys(cids, self._media.reserve(cids)))

    def require(self, cids: Collection[str], now: datetime) -> None:
        """Let a unit name these; raises NotReservedError, after which `run` begins it again."""
        missing = [cid for cid in cids if self._since.get(cid, LONG_AGO) < now - RESERVATION_TTL]
        if missing:
            raise NotReservedError(missing)

    def run(self, unit: Callable[[], T]) -> T:
        """Run a unit of work, again once the bytes are reserved that it turns out to name; raises StoreUnavailableError in the end."""
        for _ in range(_ATTEMPTS):
            try:
                return unit()
            except NotReservedError as error:
                self.reserve(error.cids)
        raise StoreUnavailableError("the bytes that the command names change too fast to be reserved")


def end_grace_period(connection: sa.Connection, cids: Sequence[str], before: datetime) -> None:
    """Let the next sweep consider these at once, except those touched after `before`."""
    for page in pages(cids):
        idle = (media.c.cid.in_(page), IS_LIVE, media.c.touched_at <= before)
        locked = sa.select(media.c.key).where(*idle).order_by(media.c.cid).with_for_update(skip_locked=True)
        keys = connection.scalars(locked).all()
        connection.execute(sa.update(media).where(media.c.key.in_(keys)).values(touched_at=LONG_AGO))


def end_grace_now(database: Database, cids: Sequence[str]) -> None:
    """Let the next sweep consider these at once, in a transaction of its own."""
    with database.write() as connection:
        end_grace_period(connection, cids, database.now(connection))


def mark_deleting(connection: sa.Connection, keys: Sequence[str], reason: str | None) -> None:
    """Mark copies for deletion; with a reason that is final."""
    these = sa.update(media).where(media.c.key.in_(keys))
    connection.execute(these.values(state=MediaState.DELETING, reason=reason))


def _live_key(connection: sa.Connection, cid: str) -> str | None:
    return connection.scalar(sa.select(media.c.key).where(media.c.cid == cid, IS_LIVE).with_for_update())


def _touch_row(connection: sa.Connection, database: Database, key: str) -> None:
    connection.execute(sa.update(media).where(media.c.key == key).values(touched_at=database.now(connection)))
