"""The rows of work on derived media: claimed by one, tried a few times, and never for ever."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from eventstore.database import Database
from storage.derived import jobs
from storage.derived.jobs import LEASE, MAX_ATTEMPTS, DerivedJob, DerivedKind, Source, derived_job, has_failed

COVER = DerivedKind.COVER
SECOND = timedelta(seconds=1)


class Time:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def database(migrated_url: str, time: Time) -> Iterator[Database]:
    database = Database(migrated_url, clock=time)
    yield database
    database.close()


def claim(database: Database, *hosts: str) -> DerivedJob:
    claimed = jobs.claim(database, COVER, hosts)
    assert claimed is not None
    return claimed


def failed(database: Database, source: str) -> bool:
    with database.read() as connection:
        return has_failed(connection, COVER, source)


def test_the_longest_due_is_claimed_first_and_by_one(database: Database, time: Time) -> None:
    jobs.request(database, [Source(COVER, "b", "one"), Source(DerivedKind.RENDITIONS, "r")])
    time.now += SECOND
    jobs.request(database, [Source(COVER, "a", "two"), Source(COVER, "b", "one")])
    assert jobs.claim(database, COVER, {"one", "two"}) is None
    assert claim(database).source == "b"
    assert claim(database, "one").source == "a"
    assert jobs.claim(database, COVER) is None


def test_a_job_that_is_made_has_no_row(database: Database) -> None:
    jobs.request(database, [Source(COVER, "a")])
    jobs.finish(database, claim(database))
    with database.read() as connection:
        assert connection.execute(select(derived_job)).all() == []


def test_a_source_that_ends_each_process_is_given_up(database: Database, time: Time) -> None:
    jobs.request(database, [Source(COVER, "poison")])
    for _ in range(MAX_ATTEMPTS):
        claim(database)
        time.now += LEASE
    assert jobs.claim(database, COVER) is None
    assert failed(database, "poison")


def test_an_expired_claim_settles_nothing(database: Database, time: Time) -> None:
    jobs.request(database, [Source(COVER, "a")])
    late = claim(database)
    time.now += LEASE
    again = claim(database)
    jobs.fail(database, late, "too late")
    jobs.finish(database, late)
    assert not failed(database, "a")
    jobs.fail(database, again, "no image")
    assert failed(database, "a")


def test_attempts_are_limited_unless_they_are_not_the_sources_fault(database: Database, time: Time) -> None:
    jobs.request(database, [Source(COVER, "a")])
    for _ in range(2 * MAX_ATTEMPTS):
        jobs.retry(database, claim(database), "the store is away", SECOND, counted=False)
        assert jobs.claim(database, COVER) is None
        time.now += SECOND
    jobs.release(database, claim(database))
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claimed = claim(database)
        assert claimed.attempts == attempt
        jobs.retry(database, claimed, "503", SECOND)
        time.now += SECOND
    assert jobs.claim(database, COVER) is None
    assert failed(database, "a")
    jobs.request(database, [Source(COVER, "a")])
    assert jobs.claim(database, COVER) is None
