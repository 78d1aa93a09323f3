"""Stages bytes as an upload would."""

from pathlib import Path
from typing import BinaryIO

from storage.store import CHUNK_BYTES
from storage.upload import Staged, Staging


def stage(source: BinaryIO, folder: Path, limit: int) -> Staged:
    """Read all of the source into a temporary file; TooLargeError as soon as it passes the limit."""
    with Staging(folder, limit) as staging:
        while chunk := source.read(CHUNK_BYTES):
            staging.write(chunk)
        return staging.finish()
