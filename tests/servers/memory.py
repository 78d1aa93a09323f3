"""A folder in memory, if there is enough: the tests make and remove hundreds of thousands of files."""

import os
import shutil
from pathlib import Path

ROOM = 4 * 1024**3


def memory_folder() -> Path | None:
    """Return the folder, None if memory is too small. Tests that need a real disk do not use it."""
    memory = Path("/dev/shm")  # noqa: S108 - each process makes its own folder in it
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    return memory if roomy else None
