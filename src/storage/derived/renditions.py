"""Renditions of covers: ordinary media, and rows that say of which cover. The sweep deletes them with their cover.

The source of a rendition is the CID of a stored cover, or the URL of an image elsewhere.
"""

import io
from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

import sqlalchemy as sa

from eventstore.jobs.table import JobState, job
from eventstore.projection import write_rows
from eventstore.sql.database import pages
from eventstore.sql.schema import UtcDateTime, metadata
from storage.artwork import PreparedArtwork
from storage.cid import cid_of
from storage.media import IS_LIVE, LONG_AGO, Media, end_grace_period, media

RENDITION_MIME: Final = "image/webp"

rendition = sa.Table(
    "rendition",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("size", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cid", sa.Text, nullable=False),
    sa.Column("made_at", UtcDateTime, nullable=False),
    sa.Index("ix_rendition_cid", "cid"),
)
made: Final = rendition.c


def keep_artwork(storage: Media, prepared: PreparedArtwork) -> None:
    """Store a cover that a command is about to name, and its renditions."""
    artwork = prepared.artwork
    storage.add(artwork.cid, io.BytesIO(prepared.data), artwork.size, artwork.mime)
    keep_renditions(storage, artwork.cid, prepared.renditions)


def keep_renditions(storage: Media, source: str, renditions: Mapping[int, bytes]) -> None:
    cids = {size: cid_of(data) for size, data in renditions.items()}
    for size, data in renditions.items():
        storage.add(cids[size], io.BytesIO(data), len(data), RENDITION_MIME)
    with storage.database.write() as connection:
        now = storage.database.now(connection)
        rows = [{"source": source, "size": size, "cid": cid, "made_at": now} for size, cid in cids.items()]
        write_rows(connection, rendition, rows)


def rendition_of(connection: sa.Connection, source: str, size: int) -> str | None:
    stored = sa.select(made.cid).join(media, media.c.cid == made.cid)
    return connection.scalar(stored.where(made.source == source, made.size == size, IS_LIVE))


def sources_of(connection: sa.Connection, cids: Collection[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in connection.execute(sa.select(made.cid, made.source).where(made.cid.in_(cids))):
        found.setdefault(row.cid, set()).add(row.source)
    return found


def forget(connection: sa.Connection, sources: Collection[str], before: datetime) -> None:
    """Forget the renditions of these sources, which the sweep then deletes, except those made after `before`."""
    for some in pages(sorted(sources)):
        connection.execute(sa.delete(rendition).where(made.source.in_(some), made.made_at <= before))


def end_grace_of_renditions(connection: sa.Connection, sources: Collection[str], before: datetime) -> None:
    """Let the next sweep consider these at once, except those made after `before`."""
    for some in pages(sorted(sources)):
        old = (made.source.in_(some), made.made_at <= before)
        cids = connection.scalars(sa.select(made.cid).where(*old).distinct().order_by(made.cid)).all()
        connection.execute(sa.update(rendition).where(*old).values(made_at=LONG_AGO))
        end_grace_period(connection, cids, before)


class DerivedKind(StrEnum):
    """What is made, and of what: the kinds of their jobs."""

    RENDITIONS = "renditions"  # of a stored cover, by its CID
    COVER = "cover"  # renditions of an image elsewhere, by its URL
    WAVEFORM = "waveform"  # of stored audio, by its CID


def has_failed(connection: sa.Connection, kind: DerivedKind, source: str) -> bool:
    this = (job.c.kind == kind, job.c.subject == source, job.c.state == JobState.FAILED)
    return bool(connection.scalar(sa.select(sa.exists().where(*this))))
