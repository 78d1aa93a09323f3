"""The sweep of all media: what is derived from media that no track needs any more is deleted in the same sweep."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, delete, select

from eventstore.database import Database
from eventstore.jobs.table import JobState, job
from projections import media_references
from projections.tracks.queries import tracks_with_image_urls
from projections.tracks.table import LIVE, tracks
from replay.derived.plan import HAS_URL_ALONE
from storage.derived.renditions import DerivedKind, forget, made, rendition, sources_of
from storage.derived.waveforms import waveform
from storage.media import Media, MediaState, media
from storage.sweep import SweepReport, sweep

SOURCES_PER_PAGE: Final = 500
_ADDRESSES: Final = select(tracks.c.image_url).where(LIVE, HAS_URL_ALONE)


def sweep_media(storage: Media, grace: timedelta) -> SweepReport:
    with storage.database.read() as connection:
        before = storage.database.now(connection) - grace
    forget_unused(storage.database, before)
    return sweep(storage, _kept, grace)


def _kept(connection: Connection, cids: Sequence[str], released_after: datetime) -> set[str]:
    """Return what tracks name, and the renditions that `forget_unused` has left."""
    known = media_references.named(connection, cids, released_after)
    return known | sources_of(connection, set(cids) - known).keys()


def forget_unused(database: Database, before: datetime) -> None:
    """Forget renditions of covers that no track has had since `before`, and waveforms and jobs of what is not stored."""
    last = ""
    while True:
        with database.write() as connection:
            page = connection.scalars(
                select(made.source)
                .where(made.source > last, made.made_at <= before)
                .distinct()
                .order_by(made.source)
                .limit(SOURCES_PER_PAGE)
            ).all()
            forget(connection, set(page) - _used(connection, page, before), before)
        if not page:
            break
        last = page[-1]
    with database.write() as connection:
        # renditions that the operator's repair, or a lost store, has taken: the plan requests them again
        lost = select(made.source).where(~_is_live(made.cid))
        connection.execute(delete(rendition).where(made.source.in_(lost)))
        connection.execute(delete(waveform).where(~_is_live(waveform.c.cid)))
        of_bytes = (job.c.kind.in_([DerivedKind.RENDITIONS, DerivedKind.WAVEFORM]), ~_is_live(job.c.subject))
        of_address = (job.c.kind == DerivedKind.COVER, job.c.subject.not_in(_ADDRESSES))
        for unused in (of_bytes, of_address):
            connection.execute(delete(job).where(job.c.state == JobState.FAILED, *unused))


def _used(connection: Connection, sources: Collection[str], before: datetime) -> set[str]:
    """Return the covers that a track has, or had until after `before`, and the addresses that one has now."""
    cids = [source for source in sources if "://" not in source]
    urls = set(sources) - set(cids)
    at_address = {url for url, _ in tracks_with_image_urls(connection, urls)}
    return media_references.named(connection, cids, before) | at_address


def _is_live(cid: Any) -> Any:
    return select(media.c.key).where(media.c.cid == cid, media.c.state == MediaState.LIVE).exists()
