"""Covers and their renditions: which are taken, and what a parser has made of one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from aggregates.values import Artwork
from storage.cid import cid_of

MAX_BYTES: Final = 20 * 1024 * 1024
THUMBNAIL_SIZE: Final = 96
RENDITION_SIZES: Final = (THUMBNAIL_SIZE, 480, 1200)
"""Pixels of the longer side at most; the smallest is the thumbnail, a square cut out of the middle."""


@dataclass(frozen=True)
class PreparedArtwork:
    """The cover, re-encoded for storage, and its renditions by size."""

    artwork: Artwork
    data: bytes
    renditions: Mapping[int, bytes]

    @classmethod
    def of(cls, mime: str, data: bytes, renditions: Mapping[int, bytes]) -> Self:
        thumbnail_cid = cid_of(renditions[THUMBNAIL_SIZE])
        artwork = Artwork(cid=cid_of(data), mime=mime, size=len(data), thumbnail_cid=thumbnail_cid)
        return cls(artwork, data, renditions)

    @property
    def size(self) -> int:
        return len(self.data) + sum(map(len, self.renditions.values()))
