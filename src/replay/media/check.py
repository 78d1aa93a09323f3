"""Checks that the bytes that tracks name are stored and match their CIDs, and finds stored bytes that no track names."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain, islice
from typing import Any, Final

from sqlalchemy import Column, Connection, Select, func, or_, select

from projections.media_references import media_references
from projections.tracks.queries import tracks_with_image_urls
from storage.cid import CidHasher, cid_of_key
from storage.derived.renditions import sources_of
from storage.errors import BytesMissingError
from storage.media import Media, MediaState, media

ROWS_PER_PAGE: Final = 200
MAX_CONCURRENT_REQUESTS: Final = 8
"""To the store, for sizes."""
Progress = Callable[[int, int], None]
"""Called with the number of copies checked, and of all."""
reference: Final = media_references.c


class MediaKind(StrEnum):
    """What is wrong with a copy or a CID."""

    MISSING = "missing"  # a track names it, and it is not stored
    WRONG_SIZE = "wrong_size"  # it has not the recorded size
    DAMAGED = "damaged"  # its hash is not the CID's
    UNNAMED = "unnamed"  # no track has named it for the grace period
    STRAY = "stray"  # no row has it: left by an upload that died, or stored after the point of a restore


PROBLEMS: Final = frozenset({MediaKind.MISSING, MediaKind.WRONG_SIZE, MediaKind.DAMAGED})


@dataclass(frozen=True)
class MediaFinding:
    """A CID or a copy of it that is missing or damaged, or that the sweep will delete."""

    kind: MediaKind
    cid: str
    key: str | None
    size: int | None
    track_ids: tuple[int, ...] = ()
    swept_after: datetime | None = None
    """When the sweep deletes it, unless a track names it before."""

    @property
    def is_problem(self) -> bool:
        return self.kind in PROBLEMS


def check_media(
    storage: Media, grace: timedelta, *, deep: bool = False, progress: Progress = lambda _done, _of: None
) -> Iterator[MediaFinding]:
    """Check all stored copies and all references, a page at a time; `deep` hashes every byte. Nothing is changed."""
    with storage.database.read() as connection:
        before = storage.database.now(connection) - grace
        rows = connection.scalar(select(func.count()).where(media.c.state == MediaState.LIVE)) or 0
    done = 0
    live = select(media).where(media.c.state == MediaState.LIVE)
    with ThreadPoolExecutor(MAX_CONCURRENT_REQUESTS) as pool:
        for page in _pages(storage, live, media.c.key):
            sizes = pool.map(lambda row: storage.store.size(row.key), page)
            with storage.database.read() as connection:
                names = _names_of(connection, [row.cid for row in page], before)
            for row, size in zip(page, sizes, strict=True):
                yield from _of_row(storage, row, size, names[row.cid], grace, deep=deep)
                done += 1
                progress(done, rows)
    yield from _without_row(storage, before)
    yield from _strays(storage, grace)


Names = tuple[tuple[int, ...], datetime | None]
"""Tracks that name a CID, or did within the grace period, and when the last reference was released."""


def _of_row(
    storage: Media, row: Any, size: int | None, names: Names, grace: timedelta, *, deep: bool
) -> Iterator[MediaFinding]:
    track_ids, released_at = names
    if not track_ids:
        since = max(filter(None, (row.touched_at, released_at)))
        yield MediaFinding(MediaKind.UNNAMED, row.cid, row.key, size, swept_after=since + grace)
        return
    if size is None:
        kind = MediaKind.MISSING
    elif size != row.size:
        kind = MediaKind.WRONG_SIZE
    elif deep and not _is_whole(storage, row.key):
        kind = MediaKind.DAMAGED
    else:
        return
    with (
        storage.database.read() as connection
    ):  # the sweep or another upload may have replaced the copy meanwhile
        state = connection.scalar(select(media.c.state).where(media.c.key == row.key))
    if state == MediaState.LIVE:
        yield MediaFinding(kind, row.cid, row.key, size, track_ids)


def _is_whole(storage: Media, key: str) -> bool:
    hasher = CidHasher()
    try:
        for chunk in storage.store.read(key):
            hasher.update(chunk)
    except BytesMissingError:
        return False
    return hasher.cid == cid_of_key(key)


def _pages(storage: Media, query: Select[Any], key: Column[str]) -> Iterator[Sequence[Any]]:
    last = ""
    while True:
        with storage.database.read() as connection:
            page = connection.execute(query.where(key > last).order_by(key).limit(ROWS_PER_PAGE)).all()
        if not page:
            return
        yield page
        last = getattr(page[-1], key.name)


def _names_of(connection: Connection, cids: Sequence[str], before: datetime) -> Mapping[str, Names]:
    """Return the names of these; a rendition has those of its covers."""
    renditions = sources_of(connection, cids)
    named_by = {cid: {cid, *renditions.get(cid, ())} for cid in cids}
    wanted = {*chain.from_iterable(named_by.values())}
    rows = connection.execute(select(media_references).where(reference.cid.in_(wanted))).all()
    elsewhere = tracks_with_image_urls(connection, [each for each in wanted if "://" in each])
    found: dict[str, Names] = {}
    for cid, sources in named_by.items():
        of_cid = [row for row in rows if row.cid in sources]
        released = [row.released_at for row in of_cid if row.released_at is not None]
        naming = {row.track_id for row in of_cid if row.released_at is None or row.released_at > before}
        naming |= {track_id for url, track_id in elsewhere if url in sources}
        found[cid] = tuple(sorted(naming)), max(released, default=None)
    return found


def _without_row(storage: Media, before: datetime) -> Iterator[MediaFinding]:
    """Yield CIDs that tracks name and no row of `media` has."""
    is_live = select(media.c.key).where(media.c.cid == reference.cid, media.c.state == MediaState.LIVE)
    is_named = or_(reference.released_at.is_(None), reference.released_at > before)
    lacking = select(reference.cid).where(is_named, ~is_live.exists()).distinct()
    for page in _pages(storage, lacking, reference.cid):
        cids = [row.cid for row in page]
        with storage.database.read() as connection:
            names = _names_of(connection, cids, before)
        for cid in cids:
            yield MediaFinding(MediaKind.MISSING, cid, None, None, names[cid][0])


def _strays(storage: Media, grace: timedelta) -> Iterator[MediaFinding]:
    """Yield stored copies without a row; uploads in progress have one, written before the bytes."""
    stored = iter(storage.store.stored())
    while page := {each.key: each.modified + grace for each in islice(stored, ROWS_PER_PAGE)}:
        with storage.database.read() as connection:
            known = connection.scalars(select(media.c.key).where(media.c.key.in_(page))).all()
        for key in page.keys() - {*known}:
            size = storage.store.size(key)
            yield MediaFinding(MediaKind.STRAY, cid_of_key(key), key, size, swept_after=page[key])
