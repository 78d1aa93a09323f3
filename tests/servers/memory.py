"""A folder in memory, where there is enough of it: tests make and remove files by the hundred thousand."""

import os
import shutil
from pathlib import Path

ROOM = 4 * 1024**3


def memory_folder() -> Path | None:
    """None where memory holds too little; who needs a true disk asks for none."""
    memory = Path("/dev/shm")  # noqa: S108 - everybody makes a folder of their own in it
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    return memory if roomy else None
