"""The sweep deletes media that nothing has referenced for a grace period, and logs each deletion with its reason.

1. Mark old unreferenced copies `deleting`, which no command can reserve from then on.
2. Look again, in another transaction: withdraw the marks of what something names by then, and give the others their reason.
3. Delete the bytes of those that have a reason.
4. Delete their rows, in another transaction; after a crash the next sweep continues here.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Final

import sqlalchemy as sa

from storage.cid import cid_of_key
from storage.errors import StorageError
from storage.media import IS_LIVE, RESERVED_FOR, Media, MediaState, mark_deleting, media
from storage.stores.store import StoredKey

logger = logging.getLogger("mastertape.storage")

UNNAMED: Final = "no live or restorable state names it"
UNFINISHED: Final = "its upload never finished"
STRAY: Final = "no row knows it"
_PAGE: Final = 100
_IS_DELETING: Final = media.c.state == MediaState.DELETING


Named = Callable[[sa.Connection, Sequence[str], datetime], set[str]]
"""Returns the CIDs that a live state references, or one that ended after this time and may be restored."""


@dataclass
class SweepReport:
    deleted: int = 0
    freed_bytes: int = 0
    failed: int = 0
    strays_kept: int = 0
    unfinished_discarded: int = 0


def sweep(storage: Media, named: Named, grace: timedelta) -> SweepReport:
    """Delete what was not referenced, touched or finished within the grace period."""
    with storage.database.read() as connection:
        now = storage.database.now(connection)
    before, report = now - grace, SweepReport()
    _mark_old(storage, named, before, reserved_before=now - min(grace, RESERVED_FOR))
    _look_again(storage, named, before)
    decided = sa.select(media).where(_IS_DELETING, media.c.reason.is_not(None))
    for row in chain.from_iterable(storage.database.pages_by(media.c.key, decided, _PAGE)):
        _delete(storage, report, row.key, size=row.size, reason=row.reason, touched_at=row.touched_at)
    for stored in _strays(storage):
        if stored.modified < before:
            size = storage.store.size(stored.key) or 0
            _delete(storage, report, stored.key, size=size, reason=STRAY, touched_at=stored.modified)
        else:
            report.strays_kept += 1
    report.unfinished_discarded = storage.store.discard_unfinished(before)
    return report


def _mark_old(storage: Media, named: Named, before: datetime, *, reserved_before: datetime) -> None:
    last = ""
    is_old = (
        media.c.state.in_((MediaState.WRITING, MediaState.LIVE)),
        media.c.touched_at < before,
        sa.or_(media.c.reserved_at.is_(None), media.c.reserved_at < reserved_before),
    )
    old = sa.select(media.c.key, media.c.cid, media.c.state).where(*is_old).order_by(media.c.key)
    while True:
        with storage.database.write() as connection:
            # A row that a command or an upload has locked is in use; skipping it also prevents deadlocks.
            these = old.where(media.c.key > last).limit(_PAGE).with_for_update(skip_locked=True)
            page = connection.execute(these).all()
            live = {row.cid: row.key for row in page if row.state == MediaState.LIVE}
            kept = named(connection, sorted(live), before) if live else set()
            mark_deleting(connection, [key for cid, key in live.items() if cid not in kept], None)
            unfinished = [row.key for row in page if row.state == MediaState.WRITING]
            mark_deleting(connection, unfinished, UNFINISHED)
        if not page:
            return
        last = page[-1].key


def _look_again(storage: Media, named: Named, before: datetime) -> None:
    last = ""
    marked = sa.select(media.c.key, media.c.cid).where(_IS_DELETING, media.c.reason.is_(None))
    while True:
        with storage.database.write() as connection:
            these = marked.where(media.c.key > last).order_by(media.c.key).limit(_PAGE)
            page = connection.execute(these.with_for_update()).all()
            if not page:
                return
            kept = named(connection, sorted({row.cid for row in page}), before)
            kept -= set(connection.scalars(sa.select(media.c.cid).where(media.c.cid.in_(kept), IS_LIVE)))
            withdrawn = {row.cid: row.key for row in page if row.cid in kept}.values()
            mark_deleting(connection, [row.key for row in page if row.key not in withdrawn], UNNAMED)
            live = sa.update(media).where(media.c.key.in_(withdrawn))
            connection.execute(live.values(state=MediaState.LIVE))
        last = page[-1].key


def _strays(storage: Media) -> Iterator[StoredKey]:
    """Yield bytes without a row. A row is inserted before its bytes, so none of these can become live."""
    stored = iter(storage.store.stored())
    while page := tuple(islice(stored, _PAGE)):
        with storage.database.read() as connection:
            of_page = media.c.key.in_([entry.key for entry in page])
            known = set(connection.scalars(sa.select(media.c.key).where(of_page)))
        yield from (entry for entry in page if entry.key not in known)


def _delete(
    storage: Media, report: SweepReport, key: str, *, size: int, reason: str, touched_at: datetime
) -> None:
    """Delete a copy and its row. That of a stray copy is not there."""
    facts = {
        "cid": cid_of_key(key),
        "key": key,
        "size": size,
        "reason": reason,
        "touched_at": touched_at.isoformat(),
    }
    try:
        storage.store.delete(key)
    except StorageError as exc:
        report.failed += 1
        logger.warning("media_delete_failed", extra={**facts, "error": str(exc)})
        return
    if storage.delete_row(key) or reason == STRAY:
        report.deleted += 1
        report.freed_bytes += size
        logger.info("media_deleted", extra=facts)
