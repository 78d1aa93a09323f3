"""The service in a process whose database clock is ahead: `python -m tests.faults.shifted_clock FILE serve`.

FILE holds by how many seconds.
"""

import sys
from datetime import timedelta
from pathlib import Path

from eventstore.coordination import due_parts
from eventstore.sql.database import Database

LOOKS_EVERY_SECONDS = 0.2
"""A clock that is set forward wakes no relay: an idle one has to poll it."""


class Ahead:
    """How far the clock is ahead, for the test that says so."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._by = timedelta()
        self.advance(self._by)

    def advance(self, by: timedelta) -> None:
        self._by += by
        fresh = self.file.with_suffix(".new")
        fresh.write_text(str(self._by.total_seconds()))
        fresh.replace(self.file)


def program(clock: Ahead) -> list[str | Path]:
    return [sys.executable, "-m", "tests.faults.shifted_clock", clock.file]


def set_on(file: Path) -> None:
    """Add to every time what the file says."""
    now = Database.now

    def ahead(database, connection, *, read=None):
        return now(database, connection, read=read) + timedelta(seconds=float(file.read_text()))

    Database.now = Database.recent_now = ahead
    due_parts.IDLE_SECONDS = LOOKS_EVERY_SECONDS


if __name__ == "__main__":
    name, *words = sys.argv[1:]
    set_on(Path(name))
    from service.cli.main import main

    sys.exit(main(words))
