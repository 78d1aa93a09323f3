"""The service in a process whose database's clock goes ahead as a test says: `python -m tests.faults.ahead FILE serve`.

FILE holds by how many seconds.
"""

import sys
from datetime import timedelta
from pathlib import Path

from eventstore.database import Database
from outbox import relay
from service.cli import main

LOOKS_EVERY_SECONDS = 0.2
"""A clock that is set on wakes nobody: an idle relay has to look at it."""


def set_on(file: Path) -> None:
    """Add to every time what the file says."""
    now = Database.now

    def ahead(database, connection, *, read=None):
        return now(database, connection, read=read) + timedelta(seconds=float(file.read_text()))

    Database.now = ahead
    relay.IDLE_SECONDS = LOOKS_EVERY_SECONDS


if __name__ == "__main__":
    name, *words = sys.argv[1:]
    set_on(Path(name))
    sys.exit(main(words))
