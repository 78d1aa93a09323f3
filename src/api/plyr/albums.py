"""Albums: a text of a track here, an object with an id of its own at the peer."""

import re
import unicodedata
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel
from sqlalchemy import select

from eventstore.database import Database
from projections.tracks.table import LIVE, tracks

_NOT_IN_SLUGS: Final = re.compile(r"[^\w]+")


class AlbumBody(BaseModel):
    """An album; it has no cover of its own here."""

    id: str
    slug: str
    title: str
    image_url: str | None = None
    thumbnail_url: str | None = None


def album_of(did: str, title: str) -> AlbumBody:
    """Return the album of an artist; its id is made of both, so that it is the same at every read."""
    return AlbumBody(id=str(uuid5(NAMESPACE_URL, f"{did}\n{title}")), slug=slug_of(title), title=title)


def slug_of(title: str) -> str:
    """Return the title in lower case, with a hyphen for each run of other characters."""
    return _NOT_IN_SLUGS.sub("-", unicodedata.normalize("NFKC", title).casefold()).strip("-_") or "album"


def album_titled(database: Database, did: str, album_id: str) -> str | None:
    """Return the title of the artist's album with this id; None if no live track is in one."""
    of_artist = (
        select(tracks.c.album).where(LIVE, tracks.c.did == did, tracks.c.album.is_not(None)).distinct()
    )
    with database.read() as connection:
        titles = connection.scalars(of_artist).all()
    return next((title for title in titles if album_of(did, title).id == album_id), None)
