"""Waveforms of audio: a few hundred peaks of a byte each."""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from eventstore.sql.database import Database
from eventstore.sql.schema import metadata
from eventstore.streams.append import upsert

DECODED_FILE_TYPES: Final = ("wav", "flac", "ogg", "mp3", "aiff")
"""The others have no waveform."""
waveform = sa.Table(
    "waveform",
    metadata,
    sa.Column("cid", sa.Text, primary_key=True),
    sa.Column("peaks", sa.LargeBinary, nullable=False),
    sa.Column("duration", sa.Float, nullable=False),
    sa.Column("loudness", sa.Float),
)
measured: Final = sa.select(waveform.c.cid).where(waveform.c.loudness.is_not(None)).subquery()
"""Waveforms whose loudness was measured: older ones lack it, and are made again."""


@dataclass(frozen=True)
class Waveform:
    """The loudest moments of equal parts of the audio, 0 to 255, its duration in seconds, and its loudness in dB below full scale."""

    peaks: bytes
    duration: float
    loudness: float | None


def keep_waveform(database: Database, cid: str, found: Waveform) -> None:
    with database.write() as connection:
        row = upsert(connection, waveform).values(cid=cid, **vars(found))
        connection.execute(row.on_conflict_do_update(index_elements=["cid"], set_=vars(found)))


def waveform_of(connection: sa.Connection, cid: str) -> Waveform | None:
    row = connection.execute(sa.select(waveform).where(waveform.c.cid == cid)).one_or_none()
    return None if row is None else Waveform(row.peaks, row.duration, row.loudness)
