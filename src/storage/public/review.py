"""Looks through the public copies now and then: what lies in the store, what the rows say, what is wanted.

Publishing looks only where a wish has changed. This finds what nobody changed: a copy that somebody removed,
one that landed after its process had died, rows that a rebuild has corrected.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, exists, not_, select, update

from eventstore.append import upsert
from eventstore.database import Database
from storage.cid import CID_BEGINNINGS, cid_of_name
from storage.public.copies import mark
from storage.public.tables import ABSENT, OPEN, PUBLIC, UNCERTAIN, public_audio, public_copy
from storage.store import PublicCopies

logger = logging.getLogger("mastertape.storage")

UNKNOWN_MIME: Final = "application/octet-stream"
_PAGE: Final = 500
_LOST: Final = "its copy is not in the store"
_FOUND: Final = "a copy is in the store that was not to be"
_UNSEEN: Final = "it is not as the tracks want it"

copy = public_copy.c


def review(database: Database, copies: PublicCopies) -> int:
    """Have the publisher look at every copy that is not as it should be; give how many."""
    found = _unseen(database)
    for beginning in CID_BEGINNINGS:  # a part at a time, so that the names fit into memory
        expected = _expected(database, beginning)  # first, so that what is published meanwhile is not missed
        listed = set(copies.published(beginning))
        lost = expected - listed
        found += sum(_make_uncertain(database, name, copy.state == PUBLIC, _LOST) for name in sorted(lost))
        found += sum(_strays(database, page) for page in _pages(sorted(listed)))
    return found


def _unseen(database: Database) -> int:
    wish = public_audio.c
    wanted = exists().where(wish.name == copy.name, wish.wanted)
    settled_wrongly = and_(not_(OPEN), (wanted & (copy.state != PUBLIC)) | (~wanted & (copy.state != ABSENT)))
    without_row = wish.wanted & ~exists().where(copy.name == wish.name)
    with database.read() as connection:
        rows = connection.execute(select(copy.name, copy.cid, copy.mime).where(settled_wrongly)).mappings()
        unseen: list[Any] = list(rows)
        unseen += connection.execute(select(wish.name, wish.cid, wish.mime).where(without_row)).mappings()
    for row in unseen:
        with database.write() as connection:
            mark(connection, [row])
        _tell(row["name"], _UNSEEN)
    return len(unseen)


def _expected(database: Database, beginning: str) -> set[str]:
    public = select(copy.name).where(copy.state == PUBLIC, copy.name.startswith(beginning))
    with database.read() as connection:
        return set(connection.scalars(public))


def _strays(database: Database, names: Sequence[str]) -> int:
    with database.read() as connection:
        rows = connection.execute(select(copy.name, copy.state).where(copy.name.in_(names)))
        states = {row.name: row.state for row in rows}
    strays = 0
    for name in names:
        if name not in states:
            strays += _adopt(database, name)
        elif states[name] == ABSENT:
            strays += _make_uncertain(database, name, copy.state == ABSENT, _FOUND)
    return strays


def _make_uncertain(database: Database, name: str, still: ColumnElement[bool], reason: str) -> int:
    with database.write() as connection:
        changed = connection.execute(
            update(public_copy).where(copy.name == name, still).values(state=UNCERTAIN)
        ).rowcount
    if changed:
        _tell(name, reason)
    return changed


def _adopt(database: Database, name: str) -> int:
    if (cid := cid_of_name(name)) is None:
        return 0  # whatever it is, it is not of ours
    row = {"name": name, "cid": cid, "mime": UNKNOWN_MIME, "state": UNCERTAIN}
    with database.write() as connection:
        adopt = upsert(connection, public_copy).values(row).on_conflict_do_nothing()
        adopted = connection.scalar(adopt.returning(copy.name)) is not None
    if adopted:
        _tell(name, _FOUND)
    return int(adopted)


def _pages(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + _PAGE] for start in range(0, len(names), _PAGE))


def _tell(name: str, reason: str) -> None:
    logger.warning("public_copy_mismatch", extra={"copy": name, "reason": reason})
