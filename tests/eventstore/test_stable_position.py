"""A reader up to the stable position misses nothing; a reader up to the newest visible position does."""

import random
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.lanes import enter_host
from tests.eventstore.counter import ALICE, BOB, ENVELOPE, Counter
from tests.eventstore.threads import DEADLINE, lock_waits, together
from tests.servers.citus import ON_CITUS
from tests.waits import until

EVERYTHING = 2**62
LONG = 600.0


class RolledBackError(Exception):
    """A command changed its mind."""


class Follower:
    """Reads on from where it was, up to what `horizon` says."""

    def __init__(self, log: EventLog, horizon: Callable[[], int]) -> None:
        self.log, self.horizon = log, horizon
        self.seen: list[int] = []
        self.rounds = 0

    def read_on(self) -> None:
        last, horizon = (self.seen or [0])[-1], self.horizon()
        page = self.log.read(after=last, until=horizon, limit=10_000)
        self.seen += [recorded.position for recorded in page]
        self.rounds += 1

    def follow(self, done: threading.Event) -> None:
        while not done.is_set():
            self.read_on()
        self.read_on()


def write(log: EventLog, writer: int, *, units: int = 20, adds: int = 1, is_global: bool = False) -> None:
    """Appends on several accounts, some slow, some rolled back; beside a row that each node has a copy of, if global."""
    chance = random.Random(writer)  # noqa: S311
    pause = threading.Event()

    def work(unit: UnitOfWork, name: str) -> None:
        counter = Counter(name=name)
        for _ in range(adds):
            counter.add(1)
        unit.save(counter)
        if is_global:
            enter_host(unit.connection, f"https://{name}.example")
        pause.wait(chance.uniform(0, 0.01))
        if chance.random() < 0.25:
            raise RolledBackError

    for turn in range(units):
        did = f"did:plc:{chance.randrange(6)}"
        try:
            log.transact(did, ENVELOPE, partial(work, name=f"{writer}-{turn}"))
        except RolledBackError:
            continue


def follow_while_writing(log: EventLog, follower: Follower, *writers: Callable[[], None]) -> list[int]:
    """All positions that were committed in the end."""
    done = threading.Event()

    def write_all() -> None:
        try:
            together(*writers, within=LONG)
        finally:
            done.set()

    together(write_all, partial(follower.follow, done), within=LONG)
    return [recorded.position for recorded in log.read(after=0, until=EVERYTHING, limit=EVERYTHING)]


@pytest.mark.postgres
def test_a_reader_up_to_the_stable_position_misses_nothing(postgres: Database) -> None:
    log = EventLog(postgres)
    stable = Follower(log, log.stable_position)
    committed = follow_while_writing(log, stable, *[partial(write, log, writer) for writer in range(8)])
    assert stable.seen == committed
    assert stable.rounds > 5


@ON_CITUS
@pytest.mark.timeout(2 * LONG)
def test_a_reader_misses_nothing_of_several_nodes_where_half_of_all_commits_are_two_phase(
    migrated_citus: str,
) -> None:
    with closing(Database(migrated_citus)) as database:
        log = EventLog(database)
        stable, how = Follower(log, log.stable_position), {"units": 240, "adds": 7}
        writers = [partial(write, log, writer, is_global=writer % 2 == 0, **how) for writer in range(8)]
        committed = follow_while_writing(log, stable, *writers)
        assert len(committed) > 10_000
        assert stable.seen == committed


@pytest.mark.postgres
def test_the_stable_position_waits_for_a_lower_position_that_is_on_its_way(postgres: Database) -> None:
    log = EventLog(postgres)
    slow_has_saved, naive = threading.Event(), Follower(log, lambda: EVERYTHING)
    positions: list[int] = []

    def slow() -> None:
        with log.unit_of_work(ALICE, ENVELOPE) as unit:
            unit.save(Counter(name="slow"))
            slow_has_saved.set()
            until(lambda: lock_waits(postgres) == 1)
            assert not positions

    def fast() -> None:
        assert slow_has_saved.wait(DEADLINE)
        with log.unit_of_work(BOB, ENVELOPE) as unit:
            unit.save(Counter(name="fast"))
        naive.read_on()
        positions.append(log.stable_position())
        assert len(log.read(after=0, until=positions[0], limit=10)) == 2

    together(slow, fast)
    naive.read_on()
    assert (positions, naive.seen) == ([2], [2])


@pytest.mark.postgres
@pytest.mark.parametrize("accounts", [16, 1])
def test_the_stable_position_is_found_under_a_continuous_stream_of_writers(
    postgres: Database, accounts: int
) -> None:
    """Of many accounts, so that the log's lock is always held, and of one, so that there is always a queue."""
    log = EventLog(postgres)
    done, appended = threading.Event(), [0] * 16

    def stream(writer: int) -> None:
        while not done.is_set():
            with log.unit_of_work(f"did:plc:{writer % accounts}", ENVELOPE) as unit:
                unit.save(Counter(name=f"{writer}-{appended[writer]}"))
                done.wait(0.02)
            appended[writer] += 1

    def ask() -> None:
        try:
            until(lambda: all(appended))
            positions = [log.stable_position() for _ in range(10)]
            assert positions == sorted(positions)
        finally:
            done.set()

    together(ask, *[partial(stream, writer) for writer in range(16)])
