"""The review compares all public copies in the store with the rows and the desired state.

It finds what the publisher does not check, since no event changed it: a copy deleted from the bucket by hand, a copy
that arrived after its process had died, rows corrected by a rebuild.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, exists, not_, or_, select, update

from eventstore.append import upsert
from eventstore.database import Database, pages
from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.jobs.table import job
from storage.cid import CID_BEGINNINGS, cid_of_name
from storage.public.copies import Action, PublicCopyState, mark_changed, public_audio, public_copy
from storage.store import PublicCopies

logger = logging.getLogger("mastertape.storage")

UNKNOWN_MIME: Final = "application/octet-stream"
_LOST: Final = "its copy is not in the store"
_FOUND: Final = "a copy is in the store that was not to be"
_UNWANTED: Final = "it is not as the tracks want it"

copy = public_copy.c


def review(database: Database, copies: PublicCopies) -> int:
    """Mark every copy that is not as it should be for the publisher; returns how many."""
    found = _mark_wrong_rows(database)
    for beginning in CID_BEGINNINGS:  # in parts, so that the names fit into memory
        public = copy.state == PublicCopyState.PUBLIC, copy.name.startswith(beginning)
        with database.read() as connection:  # before listing: a copy published meanwhile is not missing
            expected = set(connection.scalars(select(copy.name).where(*public)))
        listed = set(copies.published(beginning))
        lost = expected - listed
        found += sum(_make_uncertain(database, name, PublicCopyState.PUBLIC, _LOST) for name in sorted(lost))
        found += sum(_strays(database, page) for page in pages(sorted(listed)))
    return found


def _mark_wrong_rows(database: Database) -> int:
    audio = public_audio.c
    wanted = exists().where(audio.name == copy.name, audio.wanted)
    is_wrong = or_(
        and_(wanted, copy.state != PublicCopyState.PUBLIC),
        and_(not_(wanted), copy.state != PublicCopyState.ABSENT),
    )
    is_open = exists().where(job.c.kind.in_(list(Action)), job.c.subject == copy.name)
    settled_wrongly = and_(not_(is_open), is_wrong)
    without_row = audio.wanted & ~exists().where(copy.name == audio.name)
    with database.read() as connection:
        rows = connection.execute(select(copy.name, copy.cid, copy.mime).where(settled_wrongly)).mappings()
        wrong: list[Any] = list(rows)
        wrong += connection.execute(select(audio.name, audio.cid, audio.mime).where(without_row)).mappings()
    for row in wrong:
        with database.write() as connection:
            mark_changed(connection, [row], database.now(connection))
        _log_mismatch(row["name"], _UNWANTED)
    return len(wrong)


def _strays(database: Database, names: Sequence[str]) -> int:
    with database.read() as connection:
        rows = connection.execute(select(copy.name, copy.state).where(copy.name.in_(names)))
        states = {row.name: row.state for row in rows}
    strays = 0
    for name in names:
        if name not in states:
            strays += _insert_stray(database, name)
        elif states[name] == PublicCopyState.ABSENT:
            strays += _make_uncertain(database, name, PublicCopyState.ABSENT, _FOUND)
    return strays


def _make_uncertain(database: Database, name: str, before: PublicCopyState, reason: str) -> int:
    with database.write() as connection:
        uncertain = update(public_copy).where(copy.name == name, copy.state == before)
        changed = connection.execute(uncertain.values(state=PublicCopyState.UNCERTAIN)).rowcount
        if changed:
            _request(connection, name, database.now(connection))
    if changed:
        _log_mismatch(name, reason)
    return changed


def _insert_stray(database: Database, name: str) -> int:
    if (cid := cid_of_name(name)) is None:
        return 0  # not a copy of ours
    row = {"name": name, "cid": cid, "mime": UNKNOWN_MIME, "state": PublicCopyState.UNCERTAIN}
    with database.write() as connection:
        insert_copy = upsert(connection, public_copy).values(row).on_conflict_do_nothing()
        inserted = connection.scalar(insert_copy.returning(copy.name)) is not None
        if inserted:
            _request(connection, name, database.now(connection))
    if inserted:
        _log_mismatch(name, _FOUND)
    return int(inserted)


def _request(connection: Connection, name: str, now: datetime) -> None:
    queue.request(connection, [Wanted(Action.REMOVE, name, name)], now, hurry=True)


def _log_mismatch(name: str, reason: str) -> None:
    logger.warning("public_copy_mismatch", extra={"copy": name, "reason": reason})
