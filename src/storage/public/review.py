"""The review compares all public copies in the store with the rows and the desired state.

It finds what the publisher does not check, since no event changed it: a copy deleted from the bucket by hand, a copy
that arrived after its process had died, rows corrected by a rebuild.
"""

import logging
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.jobs.table import job
from eventstore.sql.database import Database, pages
from eventstore.streams.append import upsert
from storage.cid import CID_BEGINNINGS, cid_of_name
from storage.public.copies import Action, PublicCopyState, mark_changed, public_audio, public_copy

if TYPE_CHECKING:
    from storage.stores.s3 import S3Store

logger = logging.getLogger("mastertape.storage")

UNKNOWN_MIME: Final = "application/octet-stream"
_LOST: Final = "its copy is not in the store"
_FOUND: Final = "a copy is in the store that was not to be"
_UNWANTED: Final = "it is not as the tracks want it"

copy = public_copy.c


def review(database: Database, copies: "S3Store") -> int:
    """Mark every copy that is not as it should be for the publisher; returns how many."""
    found = _mark_wrong_rows(database)
    for beginning in CID_BEGINNINGS:  # in parts, so that the names fit into memory
        public = copy.state == PublicCopyState.PUBLIC, copy.name.startswith(beginning)
        with database.read() as connection:  # before listing: a copy published meanwhile is not missing
            expected = set(connection.scalars(sa.select(copy.name).where(*public)))
        listed = set(copies.published(beginning))
        found += sum(_recheck(database, name, PublicCopyState.PUBLIC) for name in sorted(expected - listed))
        for page in pages(sorted(listed)):
            with database.read() as connection:
                rows = connection.execute(sa.select(copy.name, copy.state).where(copy.name.in_(page)))
                states = {row.name: row.state for row in rows}
            strays = [name for name in page if states.get(name) in {None, PublicCopyState.ABSENT}]
            found += sum(_recheck(database, name, states.get(name)) for name in strays)
    return found


def _mark_wrong_rows(database: Database) -> int:
    audio = public_audio.c
    # Citus joins a table of the coordinator with what others find, and not with their rows
    of_tracks = sa.select(audio.name, audio.cid, audio.mime).where(audio.wanted).cte()
    of_jobs = sa.select(job.c.subject).where(job.c.kind.in_(list(Action))).cte()
    wanted = copy.name.in_(sa.select(of_tracks.c.name))
    is_wrong = sa.or_(
        sa.and_(wanted, copy.state != PublicCopyState.PUBLIC),
        sa.and_(sa.not_(wanted), copy.state != PublicCopyState.ABSENT),
    )
    is_open = copy.name.in_(sa.select(of_jobs.c.subject))
    settled_wrongly = sa.and_(sa.not_(is_open), is_wrong)
    without_row = sa.select(of_tracks).where(~sa.exists().where(copy.name == of_tracks.c.name))
    with database.read() as connection:
        rows = connection.execute(sa.select(copy.name, copy.cid, copy.mime).where(settled_wrongly)).mappings()
        new = connection.execute(without_row).mappings()
        wrong: list[Any] = [*rows, *new]
    for row in wrong:
        with database.write() as connection:
            mark_changed(connection, [row], database.now(connection))
        _log_mismatch(row["name"], _UNWANTED)
    return len(wrong)


def _recheck(database: Database, name: str, before: PublicCopyState | None) -> int:
    """Have the publisher check a copy that the store has, or lacks, against its row: as of `before`, or none; returns how many."""
    cid = cid_of_name(name)
    if before is None and cid is None:
        return 0  # not a copy of ours
    uncertain = {"state": PublicCopyState.UNCERTAIN}
    with database.write() as connection:
        row = upsert(connection, public_copy).values(name=name, cid=cid, mime=UNKNOWN_MIME, **uncertain)
        this = copy.state == before
        change = row.on_conflict_do_update(index_elements=["name"], set_=uncertain, where=this)
        changed = len(connection.execute(change.returning(copy.name)).all())
        if changed:
            wanted = [Wanted(Action.REMOVE, name)]
            queue.request(connection, wanted, database.now(connection), hurry=True)
    if changed:
        _log_mismatch(name, _LOST if before == PublicCopyState.PUBLIC else _FOUND)
    return changed


def _log_mismatch(name: str, reason: str) -> None:
    logger.warning("public_copy_mismatch", extra={"copy": name, "reason": reason})
