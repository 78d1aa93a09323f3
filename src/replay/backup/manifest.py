"""The manifest of a backup: what it contains, of which version, and the digest of each file."""

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from replay.errors import BrokenBackupError

MANIFEST: Final = "manifest.json"
SQLITE_FILE: Final = "mastertape.db"
TABLES: Final = "tables"
MEDIA_LIST: Final = "media.ndjson.gz"
MEDIA: Final = "media"
FORMAT: Final = 1


class MediaIncluded(StrEnum):
    """Whether a backup holds the bytes that its list of media names."""

    LISTED = "list"
    COPIED = "copy"
    LINKED = "link"


@dataclass(frozen=True)
class StoredMedia:
    """One copy of media that the database names."""

    key: str
    cid: str
    size: int
    mime: str


@dataclass(frozen=True)
class DumpedTable:
    """A table of PostgreSQL; its rows are in a file, as COPY writes them."""

    name: str
    columns: Sequence[str]

    @property
    def file(self) -> str:
        return f"{TABLES}/{self.name}.copy.gz"


@dataclass(frozen=True)
class Manifest:
    """What a backup contains."""

    version: str
    schema: str
    dialect: str
    taken_at: str
    position: int
    media_from: str
    media_count: int
    media_bytes: int
    media_included: MediaIncluded
    kept_elsewhere: Sequence[str]
    """What this backup does not contain, and a service needs."""
    tables: Sequence[DumpedTable]
    sequences: dict[str, int]
    digests: dict[str, str]
    """The SHA-256 of each file but the manifest and media, whose keys contain theirs."""
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        (folder / MANIFEST).write_text(json.dumps(asdict(self), indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest, and compare each file with its digest; raises BrokenBackupError."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BrokenBackupError(f"{folder} is no backup: it has no {MANIFEST}") from None
    except msgspec.DecodeError as error:
        raise BrokenBackupError(f"{folder / MANIFEST} cannot be read: {error}") from None
    if manifest.format != FORMAT:
        raise BrokenBackupError(f"{folder} has format {manifest.format}, and this version reads {FORMAT}")
    for name, digest in manifest.digests.items():
        if not (folder / name).is_file():
            raise BrokenBackupError(f"{folder / name} is missing")
        if digest_of(folder / name) != digest:
            raise BrokenBackupError(f"{folder / name} is damaged: its SHA-256 is not {digest}")
    return manifest


def digest_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def listed_media(folder: Path) -> Iterator[StoredMedia]:
    """Yield the copies that the database named."""
    with gzip.open(folder / MEDIA_LIST, "rt") as lines:
        for line in lines:
            yield StoredMedia(**json.loads(line))
