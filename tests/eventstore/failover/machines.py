"""Machines with processes on one database, whose server becomes a promoted standby when a test says so.

The timeline is read from the server in production; here the test gives it. Which standbys there are is given as well.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import delete, select, text

from eventstore import restore_detection
from eventstore.database import Database
from eventstore.errors import AggregateNotFoundError
from eventstore.event_log import EventLog
from eventstore.failover import acknowledgements
from eventstore.failover.acknowledgements import Acknowledgements
from eventstore.failover.proof import FailoverProof
from eventstore.restore_detection import detect_on_connect, restored_because
from eventstore.schema import stored_event
from eventstore.unit_of_work import UnitOfWork
from tests.eventstore.counter import ALICE, ENVELOPE, Counter, counter_id

_IDENTITY = restore_detection._IDENTITY  # noqa: SLF001
TIMELINE = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"


class RunningProcess:
    """One process of a machine."""

    def __init__(self, url: str, data: Path) -> None:
        self.database = Database(url)
        detect_on_connect(self.database)
        self.acknowledgements = Acknowledgements(self.database, data / "acknowledged")
        self.log = EventLog(self.database, acknowledgements=self.acknowledgements)
        self.seen = 0
        self._proof = FailoverProof(self.acknowledgements, lambda: self.seen, lambda _connection: None)

    def acknowledges(self, name: str = "one") -> int:
        """Append, and return the position."""
        with self.log.unit_of_work(ALICE, ENVELOPE) as unit:
            return add_one(unit, name)

    def proves(self) -> bool:
        """Whether the database is as if there had been no failover, after this process has looked."""
        self._proof.run()
        with self.database.read() as connection:
            return restored_because(connection) is None

    def is_killed(self) -> None:
        """End without a word: the lock of its file ends, and nothing else changes."""
        for file in self.acknowledgements.leave("none"):
            file.close()
        self.database.close()

    def stops(self) -> None:
        """End in an orderly way."""
        self.log.close()


class Machines:
    """Each has a folder of its own."""

    def __init__(self, url: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.url, self._folder, self._patch = url, folder, patch
        self._running: list[RunningProcess] = []
        self.has_standby(synchronous=True)
        self._is_on("00000001")

    def has_standby(self, *, synchronous: bool, caught_up: bool = True) -> None:
        """Give the server one standby."""
        found = f"select {synchronous} as all_synchronous, {caught_up} as all_have_it"
        self._patch.setattr(acknowledgements, "_STANDBYS", text(found))

    def data(self, machine: str) -> Path:
        """The folder of a machine."""
        folder = self._folder / machine
        folder.mkdir(exist_ok=True)
        return folder

    def process(self, machine: str = "here") -> RunningProcess:
        """Start a process."""
        self._running.append(RunningProcess(self.url, self.data(machine)))
        return self._running[-1]

    def killed_process(self, machine: str = "here") -> int:
        """Have a real process acknowledge and be killed; return the position."""
        work = f"""
import os, signal, pytest
from pathlib import Path
from tests.eventstore.failover.machines import Machines
machines = Machines({self.url!r}, Path({str(self._folder)!r}), pytest.MonkeyPatch())
print(machines.process({machine!r}).acknowledges("killed"), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
        ended = subprocess.run([sys.executable, "-c", work], stdout=subprocess.PIPE, check=False)
        return int(ended.stdout)

    def fails_over(
        self, *, lost: int | None = None, timeline: str = "00000002", keep_connections: bool = False
    ) -> None:
        """Promote a standby, which lacks the event at a position and all later ones."""
        for each in self._running:
            if not keep_connections:
                each.database.close()
        if lost is not None:
            database = Database(self.url)
            with database.write() as connection:
                connection.execute(delete(stored_event).where(stored_event.c.position >= lost))
            database.close()
        self._is_on(timeline)

    def positions(self) -> list[int]:
        """The positions of all events."""
        database = Database(self.url)
        with database.read() as connection:
            found = connection.scalars(select(stored_event.c.position).order_by(stored_event.c.position))
            positions = list(found)
        database.close()
        return positions

    def end(self) -> None:
        """End all processes."""
        for each in self._running:
            each.stops()

    def _is_on(self, timeline: str) -> None:
        assert TIMELINE in _IDENTITY
        self._patch.setattr(restore_detection, "_IDENTITY", _IDENTITY.replace(TIMELINE, f"'{timeline}'"))


@contextmanager
def machines_on(url: str, folder: Path) -> Iterator[Machines]:
    """Machines during the block."""
    with pytest.MonkeyPatch.context() as patch:
        made = Machines(url, folder, patch)
        yield made
        made.end()


def add_one(unit: UnitOfWork, name: str) -> int:
    """Add one to a counter, and return the position of that event."""
    try:
        counter = unit.load(Counter, counter_id(name))
    except AggregateNotFoundError:
        counter = Counter(name=name)
    counter.add(1)
    return unit.save(counter)[-1].position
