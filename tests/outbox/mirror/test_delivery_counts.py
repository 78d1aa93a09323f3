"""Deliveries are counted by the hour, and stored now and then."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from eventstore.sql.database import Database
from outbox.mirror import delivery_counts
from outbox.mirror.delivery_counts import DeliveryCounts, DeliveryHour, deliveries_by_hour
from outbox.mirror.failure_causes import HOUR, hour_of
from outbox.mirror.tables import delivery_hour
from tests.outbox.rigs.relay_rig import Clock


def found(database: Database, clock: Clock) -> tuple[list[DeliveryHour], dict[str, str]]:
    """The hours in which there was a delivery, and how many hours ago each release began."""
    with database.read() as connection:
        hours, since = deliveries_by_hour(connection, clock())
    assert len(hours) == delivery_counts.HOURS_KEPT
    assert hours[-1].at == hour_of(clock())
    ago = {release: (hours[-1].at - at) // HOUR for release, at in since.items()}
    return [each for each in hours if each.deliveries], ago


def test_two_processes_add_to_an_hour_and_each_release_has_a_beginning(
    database: Database, clock: Clock
) -> None:
    old, one, other = (DeliveryCounts(release) for release in ("1", "2", "2"))
    began = hour_of(clock())
    old.count(clock(), 0.1)
    old.store(database)
    clock.advance(hours=3)
    for number in range(38):
        (one, other)[number % 2].count(clock(), 0.3)
    one.count(clock(), 4)
    other.count(clock(), 200_000)
    for counts in (one, other):
        counts.store(database)
        counts.store(database)
    first, second = found(database, clock)[0]
    assert (first.at, first.deliveries, first.half_within_ms, first.most_within_ms) == (began, 1, 250, 250)
    assert (second.deliveries, second.half_within_ms, second.most_within_ms) == (40, 500, 500)
    for _ in range(3):
        other.count(clock(), 200_000)
    other.store(database)
    assert found(database, clock)[0][1].most_within_ms == delivery_counts.LONGER_MS
    assert found(database, clock)[1] == {"1": 3, "2": 0}


def test_an_hour_is_forgotten_after_a_week(database: Database, clock: Clock) -> None:
    counts = DeliveryCounts("1")
    counts.count(clock(), 1)
    counts.store(database)
    clock.advance(hours=delivery_counts.HOURS_KEPT)
    counts.count(clock(), 1)
    counts.store(database)
    assert len(found(database, clock)[0]) == 1
    with database.read() as connection:
        assert len(connection.execute(select(delivery_hour)).all()) == 1


def test_what_cannot_be_stored_is_kept_for_the_next_time(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = DeliveryCounts("1")
    counts.count(clock(), 1)

    def away(*_: object) -> None:
        raise OperationalError("insert", {}, Exception("gone"))

    with monkeypatch.context() as patched:
        patched.setattr(delivery_counts, "_add", away)
        counts.store(database)
    counts.count(clock() + timedelta(seconds=1), 1)
    counts.store(database)
    assert [each.deliveries for each in found(database, clock)[0]] == [2]
