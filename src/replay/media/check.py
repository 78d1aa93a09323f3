"""Whether the bytes that tracks name are there and are what their CIDs promise, and what lies there that nothing names."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, func, or_, select

from projections.media_references import media_references
from storage.cid import CidHasher, cid_of_key
from storage.errors import BytesMissingError
from storage.media import Media, MediaState, media
from storage.store import StoredKey

PAGE: Final = 200
AT_ONCE: Final = 8
"""A bucket is asked for that many sizes at a time."""
Progress = Callable[[int, int], None]
reference: Final = media_references.c


class MediaKind(StrEnum):
    """What was found."""

    MISSING = "missing"  # a track names it, and it is not there
    WRONG_SIZE = "wrong_size"  # it is not as long as it was
    DAMAGED = "damaged"  # it has not the hash of its CID
    UNNAMED = "unnamed"  # no track has named it for the grace period, or will not
    STRAY = "stray"  # no row knows it: an upload that died, or one of after the point of a restore


PROBLEMS: Final = frozenset({MediaKind.MISSING, MediaKind.WRONG_SIZE, MediaKind.DAMAGED})


@dataclass(frozen=True)
class MediaFinding:
    """One CID, or one copy of it, that is not as it should be, or that the sweep will take."""

    kind: MediaKind
    cid: str
    key: str | None
    size: int | None
    track_ids: tuple[int, ...] = ()
    swept_after: datetime | None = None
    """When the sweep takes it, unless a track names it before."""

    @property
    def is_problem(self) -> bool:
        """Whether somebody has to see to it."""
        return self.kind in PROBLEMS


def check_media(
    storage: Media, grace: timedelta, *, deep: bool = False, progress: Progress = lambda _done, _of: None
) -> Iterator[MediaFinding]:
    """Go through all copies and all names, a page at a time; `deep` reads every byte. Nothing is changed."""
    with storage.database.read() as connection:
        before = storage.database.now(connection) - grace
        rows = connection.scalar(select(func.count()).where(media.c.state == MediaState.LIVE)) or 0
    done = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for page in _live_pages(storage):
            sizes = pool.map(lambda row: storage.store.size(row.key), page)
            names = _names(storage, [row.cid for row in page], before)
            for row, size in zip(page, sizes, strict=True):
                yield from _of_row(storage, row, size, names.get(row.cid), grace, deep=deep)
                done += 1
                progress(done, rows)
    yield from _without_row(storage, before)
    yield from _strays(storage, grace)


@dataclass(frozen=True)
class _Names:
    """Which tracks name a CID, or may name it again; when the last one let go of it, if none does."""

    track_ids: tuple[int, ...]
    released_at: datetime | None


def _of_row(
    storage: Media, row: Any, size: int | None, names: _Names | None, grace: timedelta, *, deep: bool
) -> Iterator[MediaFinding]:
    is_named = names is not None and bool(names.track_ids)
    kind: MediaKind | None = None
    if size is None:
        kind = MediaKind.MISSING
    elif size != row.size:
        kind = MediaKind.WRONG_SIZE
    elif deep and not _is_whole(storage, row.key):
        kind = MediaKind.DAMAGED
    if kind is not None and is_named and names is not None and _is_still_live(storage, row.key):
        yield MediaFinding(kind, row.cid, row.key, size, names.track_ids)
    elif not is_named:
        since = max(filter(None, (row.touched_at, names.released_at if names is not None else None)))
        yield MediaFinding(MediaKind.UNNAMED, row.cid, row.key, size, swept_after=since + grace)


def _is_whole(storage: Media, key: str) -> bool:
    hasher = CidHasher()
    try:
        for chunk in storage.store.read(key):
            hasher.update(chunk)
    except BytesMissingError:
        return False
    return hasher.cid == cid_of_key(key)


def _is_still_live(storage: Media, key: str) -> bool:
    """Whether the sweep, or somebody who wrote the bytes again, has not been there meanwhile."""
    with storage.database.read() as connection:
        return connection.scalar(select(media.c.state).where(media.c.key == key)) == MediaState.LIVE


def _live_pages(storage: Media) -> Iterator[Sequence[Any]]:
    last = ""
    while True:
        with storage.database.read() as connection:
            page = connection.execute(
                select(media)
                .where(media.c.key > last, media.c.state == MediaState.LIVE)
                .order_by(media.c.key)
                .limit(PAGE)
            ).all()
        if not page:
            return
        yield page
        last = page[-1].key


def _names(storage: Media, cids: Sequence[str], before: datetime) -> Mapping[str, _Names]:
    with storage.database.read() as connection:
        return _names_of(connection, cids, before)


def _names_of(connection: Connection, cids: Sequence[str], before: datetime) -> Mapping[str, _Names]:
    found: dict[str, list[Any]] = {cid: [] for cid in cids}
    for row in connection.execute(select(media_references).where(reference.cid.in_(cids))):
        found[row.cid].append(row)
    return {cid: _names_from(rows, before) for cid, rows in found.items()}


def _names_from(rows: Sequence[Any], before: datetime) -> _Names:
    naming = [row.track_id for row in rows if row.released_at is None or row.released_at > before]
    released = [row.released_at for row in rows if row.released_at is not None]
    return _Names(tuple(sorted(naming)), max(released, default=None))


def _without_row(storage: Media, before: datetime) -> Iterator[MediaFinding]:
    """Yield what tracks name and no row of `media` has."""
    last = ""
    is_live = (
        select(media.c.key).where(media.c.cid == reference.cid, media.c.state == MediaState.LIVE).exists()
    )
    is_named = or_(reference.released_at.is_(None), reference.released_at > before)
    while True:
        with storage.database.read() as connection:
            cids = connection.scalars(
                select(reference.cid)
                .where(reference.cid > last, is_named, ~is_live)
                .distinct()
                .order_by(reference.cid)
                .limit(PAGE)
            ).all()
            names = _names_of(connection, cids, before)
        if not cids:
            return
        for cid in cids:
            yield MediaFinding(MediaKind.MISSING, cid, None, None, names[cid].track_ids)
        last = cids[-1]


def _strays(storage: Media, grace: timedelta) -> Iterator[MediaFinding]:
    """Yield stored copies without a row. The row is written before the bytes, so none of these is an upload in progress."""
    stored = iter(storage.store.stored())
    while page := tuple[StoredKey, ...](islice(stored, PAGE)):
        with storage.database.read() as connection:
            known = set(
                connection.scalars(select(media.c.key).where(media.c.key.in_([each.key for each in page])))
            )
        for each in page:
            if each.key not in known:
                size = storage.store.size(each.key)
                swept_after = each.modified + grace
                yield MediaFinding(
                    MediaKind.STRAY, cid_of_key(each.key), each.key, size, swept_after=swept_after
                )
