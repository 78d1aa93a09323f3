"""The service in a process whose database's clock goes ahead as a test says: `python -m tests.faults.ahead FILE serve`.

FILE holds by how many seconds.
"""

import sys
from datetime import timedelta
from pathlib import Path

from eventstore.database import Database
from outbox.relay import relay

LOOKS_EVERY_SECONDS = 0.2
"""A clock that is set on wakes nobody: an idle relay has to look at it."""


class Ahead:
    """How far the clock is ahead, for the test that says so."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._by = timedelta()
        self.advance(self._by)

    def advance(self, by: timedelta) -> None:
        """Set it on."""
        self._by += by
        fresh = self.file.with_suffix(".new")
        fresh.write_text(str(self._by.total_seconds()))
        fresh.replace(self.file)


def program(clock: Ahead) -> list[str | Path]:
    """What runs a service that goes by this clock."""
    return [sys.executable, "-m", "tests.faults.ahead", clock.file]


def set_on(file: Path) -> None:
    """Add to every time what the file says."""
    now = Database.now

    def ahead(database, connection, *, read=None):
        return now(database, connection, read=read) + timedelta(seconds=float(file.read_text()))

    Database.now = ahead
    relay.IDLE_POLL_SECONDS = LOOKS_EVERY_SECONDS


if __name__ == "__main__":
    name, *words = sys.argv[1:]
    set_on(Path(name))
    from service.cli.main import main

    sys.exit(main(words))
