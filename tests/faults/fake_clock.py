"""The clock of a process, which a test sets as an operator sets that of a machine: libfaketime, between it and the C library."""

from datetime import timedelta
from pathlib import Path

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


class FakeClock:
    """A clock that is as far ahead as it was told; what only counts seconds, such as a timeout, does not notice."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set_ahead(timedelta())

    def set_ahead(self, by: timedelta) -> None:
        """Set it, also back."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{by.total_seconds():+.3f}")
        fresh.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DISABLE_SHM": "1",  # a child that is killed may keep its semaphore, and all others would wait for that
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
