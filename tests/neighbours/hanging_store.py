"""A media store whose operations hang, as those of a network file system or of a silent S3 server do."""

import threading
from collections.abc import Iterator
from typing import Any

from storage.stores.store import MediaStore

LIMIT_SECONDS = 30.0


class HangingStore:
    """Passes on to a store, except for the operations in `hanging`, which wait until `go_on` is set."""

    def __init__(self, store: MediaStore) -> None:
        self._store = store
        self.go_on = threading.Event()
        self.hanging: set[str] = set()
        self.only_key: str | None = None
        """The one key whose reads hang, else all."""
        self.waiting = 0

    def _hang(self, operation: str, key: str | None = None) -> None:
        if operation in self.hanging and self.only_key in {None, key}:
            self.waiting += 1
            assert self.go_on.wait(LIMIT_SECONDS), "the test left it hanging"
            self.waiting -= 1

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        self._hang("read", key)
        return self._store.read(key, start, end)

    def write(self, key: str, *others: Any) -> None:
        self._hang("write", key)
        self._store.write(key, *others)

    def size(self, key: str) -> int | None:
        self._hang("size", key)
        return self._store.size(key)

    def stored(self) -> Iterator[Any]:
        self._hang("list")
        return self._store.stored()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
