"""Freezes startup objects so that the garbage collector never scans them: they live as long as the process."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def freeze_startup_objects() -> Generator[None]:
    """Disable collection during the block, then exempt every object made until then from later collections."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
