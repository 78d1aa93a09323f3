"""Processes hear of each other's commits, and come back to a database that was away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import insert, text

from eventstore.coordination.commit_signals import MAX_NAMED, Announcer, Listener, Wake, announce
from eventstore.sql.database import Database
from eventstore.sql.schema import projection_state
from eventstore.streams.buckets import bucket_of
from tests.servers.databases import ON_POSTGRES, ON_SQLITE

pytestmark = pytest.mark.anyio
LONG = 30.0


class Ear:
    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.listener = Listener(self.database)
        self.signalled = asyncio.Event()
        self.times = 0
        self.buckets: tuple[int, ...] = ()
        """Of the last signal."""

    def __call__(self, *buckets: int) -> None:
        self.times += 1
        self.buckets = buckets
        self.signalled.set()

    async def hears(self) -> None:
        await asyncio.wait_for(self.signalled.wait(), LONG)
        self.signalled.clear()


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Ear]:
    ear = Ear(url)
    running = asyncio.create_task(ear.listener.run(ear))
    try:
        await ear.hears()  # what came before it listened
        yield ear
    finally:
        running.cancel()
        await asyncio.wait({running})
        ear.database.close()


@asynccontextmanager
async def announcing(database: Database) -> AsyncIterator[Wake]:
    announcer = Announcer(database)
    announcer.start()
    try:
        yield announcer.announce
    finally:
        await asyncio.to_thread(announcer.stop, LONG)


@pytest.fixture
def writer(migrated_url: str):
    database = Database(migrated_url)
    yield database
    database.close()


def commit(database: Database, name: str) -> None:
    with database.write() as connection:
        connection.execute(insert(projection_state).values(name=name, fingerprint="x"))


async def test_a_commit_of_another_process_is_signalled(migrated_url: str, writer: Database) -> None:
    async with listening(migrated_url) as ear, announcing(writer) as say:
        for name in ("one", "two"):
            await asyncio.to_thread(commit, writer, name)
            say()
            await ear.hears()
        assert ear.listener.alive
    assert not ear.listener.alive


@ON_POSTGRES
async def test_an_announcement_that_was_asked_for_before_the_end_is_made(
    migrated_url: str, writer: Database
) -> None:
    async with listening(migrated_url) as ear:
        async with announcing(writer) as say:
            await asyncio.to_thread(commit, writer, "one")
            say()
        await ear.hears()


@ON_POSTGRES
@pytest.mark.parametrize(
    ("requests", "heard"),
    [
        ([(5,), (7, 5)], {5, 7}),
        ([(5,), ()], set()),
        ([(number,) for number in range(MAX_NAMED + 1)], set()),
    ],
    ids=["each once", "one that names none", "too many to name"],
)
async def test_one_signal_names_the_buckets_of_a_burst(
    migrated_url: str, writer: Database, requests: list[tuple[int, ...]], heard: set[int]
) -> None:
    announcer = Announcer(writer)
    for each in requests:
        announcer.announce(*each)
    async with listening(migrated_url) as ear:
        announcer.start()
        await ear.hears()
        assert ({*ear.buckets}, ear.times) == (heard, 2)
    await asyncio.to_thread(announcer.stop, LONG)


@ON_POSTGRES
async def test_a_transaction_that_announces_itself_is_signalled_with_its_account(
    migrated_url: str, writer: Database
) -> None:
    async with listening(migrated_url) as ear:
        with writer.write() as connection:
            announce(connection, "did:plc:alice")
        await ear.hears()
        assert ear.buckets == (bucket_of("did:plc:alice"),)


@ON_POSTGRES
async def test_a_process_does_not_hear_what_it_announces_itself(migrated_url: str, writer: Database) -> None:
    async with listening(migrated_url) as ear:
        ear.listener.own = own = Announcer(ear.database)
        own.start()
        own.announce(5)
        await asyncio.to_thread(own.stop, LONG)  # once it has announced
        async with announcing(writer) as say:
            say(7)
            await ear.hears()
        assert (ear.buckets, ear.times) == ((7,), 2)


@ON_POSTGRES
async def test_both_ends_come_back_when_their_connections_were_cut(
    migrated_url: str, writer: Database
) -> None:
    async with listening(migrated_url) as ear, announcing(writer) as say:
        say()
        await ear.hears()
        with writer.write() as connection:
            connection.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                )
            )
        await ear.hears()  # it listens again, and looks what it has missed
        before = ear.times
        async with asyncio.timeout(LONG):
            while ear.times == before:
                say()
                await asyncio.sleep(0.05)


@ON_SQLITE
async def test_without_a_commit_there_is_no_signal(migrated_url: str, writer: Database) -> None:
    async with listening(migrated_url) as ear, announcing(writer):
        with writer.read() as connection:
            connection.execute(text("select count(*) from projection_state")).all()
        await asyncio.sleep(0.6)  # longer than two looks at a file
        assert ear.times == 1
