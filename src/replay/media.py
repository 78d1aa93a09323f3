"""Checks that the bytes that tracks name are stored and match their CIDs; what is lost comes back from the blobs at the artists' PDSes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any, Final

import httpx
import sqlalchemy as sa

from eventstore.coordination.threads import Threads
from eventstore.sql.database import count_rows
from identity.resolution.address_policy import AddressPolicy
from outbox.mirror.hosts import Hosts
from outbox.mirror.tables import lane, mirror_lane
from projections.media_references import media_references
from projections.tracks.queries import tracks_with_image_urls
from projections.tracks.table import tracks
from replay.adoption.fetcher import Fetcher
from replay.errors import BytesUnavailableError, PdsTroubleError
from storage.cid import CidHasher, cid_of_key
from storage.derived.renditions import forget, sources_of
from storage.errors import BytesMissingError
from storage.media import IS_LIVE, Media, MediaState, mark_deleting, media
from storage.uploads.upload import Staged

ROWS_PER_PAGE: Final = 200
MAX_CONCURRENT_REQUESTS: Final = 8
"""To the store, for sizes."""
DAMAGED: Final = "its bytes were damaged and have been fetched again"
FORGOTTEN: Final = "it was missing or damaged, and is made again of its cover"
Progress = Callable[[int, int], None]
"""Called with the number of copies checked, and of all."""
reference: Final = media_references.c


class MediaKind(StrEnum):
    MISSING = "missing"  # a track names it, and it is not stored
    WRONG_SIZE = "wrong_size"  # it has not the recorded size
    DAMAGED = "damaged"  # its hash is not the CID's


@dataclass(frozen=True)
class MediaFinding:
    kind: MediaKind
    cid: str
    key: str | None
    size: int | None
    track_ids: tuple[int, ...]


def check_media(
    storage: Media, grace: timedelta, *, deep: bool = False, progress: Progress = lambda _done, _of: None
) -> Iterator[MediaFinding]:
    """Check the copies of all that tracks name, or did within the grace period; `deep` hashes every byte. Nothing is changed."""
    with storage.database.read() as connection:
        before = storage.database.now(connection) - grace
        rows = count_rows(connection, IS_LIVE)
    done = 0
    live = sa.select(media).where(IS_LIVE)
    with ThreadPoolExecutor(MAX_CONCURRENT_REQUESTS) as pool:
        for page in storage.database.pages_by(media.c.key, live, ROWS_PER_PAGE):
            sizes = pool.map(lambda row: storage.store.size(row.key), page)
            with storage.database.read() as connection:
                naming = _naming(connection, [row.cid for row in page], before)
            for row, size in zip(page, sizes, strict=True):
                kind = _wrong_with(storage, row, size, deep=deep) if naming[row.cid] else None
                if kind is not None:
                    yield MediaFinding(kind, row.cid, row.key, size, naming[row.cid])
                done += 1
                progress(done, rows)
    is_live = sa.select(media.c.key).where(media.c.cid == reference.cid, IS_LIVE)
    lacking = sa.select(reference.cid).where(_is_named(before), ~is_live.exists()).distinct()
    for page in storage.database.pages_by(reference.cid, lacking, ROWS_PER_PAGE):
        with storage.database.read() as connection:
            naming = _naming(connection, [row.cid for row in page], before)
        yield from (MediaFinding(MediaKind.MISSING, cid, None, None, ids) for cid, ids in naming.items())


def _wrong_with(storage: Media, row: Any, size: int | None, *, deep: bool) -> MediaKind | None:
    if size is None:
        kind = MediaKind.MISSING
    elif size != row.size:
        kind = MediaKind.WRONG_SIZE
    elif deep and not _is_whole(storage, row.key):
        kind = MediaKind.DAMAGED
    else:
        return None
    # the sweep or another upload may have replaced the copy meanwhile
    with storage.database.read() as connection:
        state = connection.scalar(sa.select(media.c.state).where(media.c.key == row.key))
    return kind if state == MediaState.LIVE else None


def _is_whole(storage: Media, key: str) -> bool:
    hasher = CidHasher()
    try:
        for chunk in storage.store.read(key):
            hasher.update(chunk)
    except BytesMissingError:
        return False
    return hasher.cid == cid_of_key(key)


def _is_named(before: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(reference.released_at.is_(None), reference.released_at > before)


def _naming(
    connection: sa.Connection, cids: Sequence[str], before: datetime
) -> Mapping[str, tuple[int, ...]]:
    """Return the tracks that name each of these, or did until after `before`; a rendition is named by those of its covers."""
    renditions = sources_of(connection, cids)
    sources = {cid: {cid, *renditions.get(cid, ())} for cid in cids}
    wanted = {*chain.from_iterable(sources.values())}
    query = sa.select(reference.cid, reference.track_id).where(reference.cid.in_(wanted), _is_named(before))
    named = [(row.cid, row.track_id) for row in connection.execute(query)]
    named += tracks_with_image_urls(connection, [each for each in wanted if "://" in each])
    return {
        cid: tuple(sorted({track_id for source, track_id in named if source in sources[cid]})) for cid in cids
    }


class MediaRepair:
    """Repairs the findings of a check, one at a time; a finding that no PDS can repair is left as it is."""

    def __init__(
        self, storage: Media, http: httpx.AsyncClient, policy: AddressPolicy, staging: Path, hosts: Hosts
    ) -> None:
        self._storage = storage
        self._threads = Threads("repair", 1)
        self._fetcher = Fetcher(http, policy, staging, hosts, self._threads)

    async def repair(self, finding: MediaFinding) -> bool:
        """Fetch the bytes and store them; False where no PDS has them. A rendition is forgotten, and made again."""
        if await self._threads.run(self._is_forgotten, finding):
            return True
        for blob in await self._threads.run(self._blobs, finding.cid):
            try:
                staged = await self._fetcher.blob(blob.host, blob.did, finding.cid, blob.audio_size)
            except (BytesUnavailableError, PdsTroubleError):
                continue
            with staged:
                await self._threads.run(self._store, finding, staged, blob.audio_mime)
            return True
        return False

    def _store(self, finding: MediaFinding, staged: Staged, mime: str) -> None:
        if finding.kind is not MediaKind.MISSING and finding.key is not None:
            with self._storage.database.write() as connection:
                mark_deleting(connection, [finding.key], DAMAGED)
        with staged.open() as source:
            self._storage.add(finding.cid, source, staged.size, mime)

    def _is_forgotten(self, finding: MediaFinding) -> bool:
        """Forget a rendition that no track names itself, as it does its thumbnail."""
        with self._storage.database.write() as connection:
            sources = sources_of(connection, [finding.cid]).get(finding.cid, set())
            names = sa.select(reference.track_id).where(reference.cid == finding.cid)
            if not sources or connection.scalar(names.limit(1)) is not None:
                return False
            forget(connection, sources, self._storage.database.now(connection))
            if finding.key is not None:
                mark_deleting(connection, [finding.key], FORGOTTEN)
        return True

    def _blobs(self, cid: str) -> Sequence[Any]:
        """Return the accounts whose tracks have this audio, with their PDSes, and its type and size."""
        query = (
            sa.select(reference.did, lane.host, tracks.c.audio_mime, tracks.c.audio_size)
            .join(tracks, sa.and_(tracks.c.did == reference.did, tracks.c.track_id == reference.track_id))
            .join(mirror_lane, lane.did == reference.did)
            .where(reference.cid == cid, tracks.c.audio_cid == cid, lane.host != "")
            .distinct()
        )
        with self._storage.database.read() as connection:
            return connection.execute(query).all()
