"""Runs functions at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

T = TypeVar("T")


def at_once(*acts: Callable[[], T]) -> list[T]:
    """Do these at the same time, and give what came of each."""
    ready = Barrier(len(acts))

    def act(each: Callable[[], T]) -> T:
        ready.wait()
        return each()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(act, acts))
