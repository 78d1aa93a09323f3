"""Attempts are counted by the hour in which they began."""

from datetime import timedelta

import pytest
from sqlalchemy import insert

from eventstore.database import Database
from outbox.mirror.failure_causes import HOURS_OF_TREND, hour_of
from outbox.mirror.tables import delivery_attempt
from outbox.mirror.targets import PUT
from outbox.views import attempt_counts
from outbox.views.attempt_counts import (
    PART,
    PARTS_OF_HOUR,
    attempts_between,
    deliveries_between,
    failed_attempts_between,
    first_ids,
    hours_of_day,
    parts_of_hour,
)

ATTEMPT = {"did": "did:plc:a", "collection": "c", "rkey": "r", "gen": 1, "op": PUT, "epoch": 1}


def attempts(database: Database) -> list[int]:
    with database.read() as connection:
        return attempts_between(first_ids(connection, hours_of_day(database.now(connection))))


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


def test_attempts_and_failures_of_the_last_hour_count_in_their_five_minutes(database: Database) -> None:
    with database.write() as connection:
        starts = parts_of_hour(database.now(connection))
        outcomes = [
            (13, "rejected"),
            (11, "done"),
            (4, "not_sent"),
            (4, "read_back"),
            (4, None),
            (0, "rejected"),
        ]
        for parts_ago, outcome in outcomes:
            at = starts[-1] - parts_ago * PART
            connection.execute(
                insert(delivery_attempt).values({**ATTEMPT, "started_at": at, "outcome": outcome})
            )
        bounds = first_ids(connection, starts)
        begun, failed = attempts_between(bounds), failed_attempts_between(connection, bounds)
        delivered = deliveries_between(connection, bounds)
    assert len(starts) == PARTS_OF_HOUR
    assert starts[-1].minute % 5 == starts[-1].second == starts[-1].microsecond == 0
    assert {ago: count for ago, count in enumerate(begun[::-1]) if count} == {11: 1, 4: 3, 0: 1}
    assert {ago: count for ago, count in enumerate(failed[::-1]) if count} == {4: 1, 0: 1}
    assert {ago: count for ago, count in enumerate(delivered[::-1]) if count} == {11: 1}


def test_of_very_many_attempts_some_stand_for_the_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_counts, "MAX_SAMPLED", 10)
    with database.write() as connection:
        hours = hours_of_day(database.now(connection))
        for hours_ago, outcome in ((1, "rejected"), (0, "done")):
            values = {**ATTEMPT, "started_at": hours[-1] - timedelta(hours=hours_ago), "outcome": outcome}
            connection.execute(insert(delivery_attempt), [values] * 15)
        delivered = deliveries_between(connection, first_ids(connection, hours))
    assert delivered[:-1] == [0] * (HOURS_OF_TREND - 1)
    assert abs(delivered[-1] - 15) <= 4  # one in four was looked at
