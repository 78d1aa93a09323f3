"""Garbage collection: what a start makes stays, so none goes through it, not even later when every thread would wait."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_collections() -> Generator[None]:
    """Collect nothing during the block, and leave what it makes out of every later collection."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
