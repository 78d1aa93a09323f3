"""Whether the bytes of earlier audio are still kept, and until when: what no track names stays for the grace period."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from projections.media_references import media_references
from storage.media import MediaState, media


@dataclass(frozen=True)
class KeptAudio:
    """Whether the bytes are stored, and until when at least; None while a track names them, or they are gone."""

    is_kept: bool
    until: datetime | None


def kept_audio(connection: Connection, cid: str, grace: timedelta) -> KeptAudio:
    """Return what the sweep lets be of these bytes, which other tracks may name too."""
    of_media, names = media.c, media_references.c
    touched_at = connection.scalar(
        select(of_media.touched_at).where(of_media.cid == cid, of_media.state == MediaState.LIVE)
    )
    if touched_at is None:
        return KeptAudio(is_kept=False, until=None)
    released = connection.scalars(select(names.released_at).where(names.cid == cid)).all()
    times = [at for at in released if at is not None]
    if len(times) < len(released):
        return KeptAudio(is_kept=True, until=None)
    return KeptAudio(is_kept=True, until=max([touched_at, *times]) + grace)
