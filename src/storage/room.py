"""How much room a disk has, so that one that is full is told of before somebody's upload finds out."""

import shutil
from pathlib import Path
from typing import Final

from storage.disk_errors import disk_errors

LEAST_FREE: Final = 16 * 2**20
"""Below this a disk counts as full: databases stop before the last byte is written."""
LITTLE_FREE: Final = 2 * 2**30


def free_bytes(folder: Path) -> int:
    """Return the free space for a folder, which may not exist yet."""
    with disk_errors():
        return shutil.disk_usage(existing(folder)).free


def existing(folder: Path) -> Path:
    """Return the folder, or its nearest existing parent."""
    return next(each for each in (folder, *folder.absolute().parents) if each.exists())
