"""Attempts are counted by the hour in which they began."""

from datetime import timedelta

from sqlalchemy import insert

from eventstore.database import Database
from outbox.mirror.failure_causes import HOURS_OF_TREND, hour_of
from outbox.mirror.tables import delivery_attempt
from outbox.mirror.targets import PUT
from outbox.views.attempt_counts import attempts_by_hour

ATTEMPT = {"did": "did:plc:a", "collection": "c", "rkey": "r", "gen": 1, "op": PUT, "epoch": 1}


def attempts(database: Database) -> list[int]:
    with database.read() as connection:
        return attempts_by_hour(connection, database.now(connection))


def test_a_service_that_has_attempted_nothing_counts_none(database: Database) -> None:
    assert attempts(database) == [0] * HOURS_OF_TREND


def test_each_attempt_of_the_last_day_counts_in_its_hour(database: Database) -> None:
    with database.write() as connection:
        this_hour = hour_of(database.now(connection))
        for hours_ago in (30, 23, 5, 5, 1, 0):
            at = this_hour - timedelta(hours=hours_ago)
            connection.execute(insert(delivery_attempt).values({**ATTEMPT, "started_at": at}))
    by_hours_ago = attempts(database)[::-1]
    assert {ago: count for ago, count in enumerate(by_hours_ago) if count} == {0: 1, 1: 1, 5: 2, 23: 1}
