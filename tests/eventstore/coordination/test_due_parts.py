"""Which parts a process looks into, and when; on a clock that a test advances."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import select

from eventstore.coordination import due_parts
from eventstore.coordination.due_parts import IDLE_SECONDS, DueParts, parts_of
from eventstore.jobs.table import job
from eventstore.sql.database import Database
from eventstore.streams.buckets import BUCKETS, EVERY, bucket_of, divided

pytestmark = pytest.mark.anyio
PARTS = 16
SHARDS = 256


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def here(work: Callable[..., Any], *given: Any) -> Any:
    return work(*given)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(due_parts, "_now", made)
    return made


@pytest.fixture
async def parts(time: Time, monkeypatch: pytest.MonkeyPatch) -> DueParts:
    """All were looked into a moment ago."""
    monkeypatch.setattr(due_parts, "parts_of", lambda _: divided(PARTS))
    made = DueParts(Database("sqlite:///"), lambda: select(job.c.account))
    assert await made.take(here) == divided(PARTS)
    time.now += 0.001
    return made


async def test_without_wakes_each_part_is_looked_into_in_time_and_one_at_a_time(
    parts: DueParts, time: Time
) -> None:
    looks, began, number = defaultdict[range, list[float]](list), time.now, 0
    while time.now < began + 60:
        time.now += parts.seconds()
        [part] = await parts.take(here)
        looks[part].append(time.now)
        number += 1
    assert looks.keys() == {*divided(PARTS)}
    for times in looks.values():
        assert max(later - earlier for earlier, later in pairwise([began, *times])) < IDLE_SECONDS + 0.01
    assert number <= 60 * PARTS / IDLE_SECONDS + 1


async def test_all_parts_that_were_woken_together_are_looked_into_apart_from_then_on(
    parts: DueParts, time: Time
) -> None:
    parts.make_due()
    assert parts.seconds() == 0
    assert len(await parts.take(here)) == PARTS
    time.now += parts.seconds()
    assert len(await parts.take(here)) == 1


async def test_a_wake_of_buckets_has_their_parts_alone_looked_into(parts: DueParts) -> None:
    parts.make_due(0, 300, BUCKETS - 1)
    assert await parts.take(here) == [range(256), range(256, 512), range(3840, 4096)]
    assert await parts.take(here) == []


async def test_what_is_made_due_during_a_look_has_its_part_looked_into_once_more(parts: DueParts) -> None:
    parts.make_due(0)
    [part] = await parts.take(here)
    parts.make_due(0)  # committed after the look has read
    parts.make_due(part[0], seconds=5)  # what the look has found
    assert await parts.take(here) == [part]


async def test_work_that_comes_due_is_looked_for_then(parts: DueParts, time: Time) -> None:
    time.now += parts.seconds()
    [part] = await parts.take(here)  # which is looked into again in 14 s
    parts.make_due(part[0], seconds=5)
    time.now += 5
    assert part in await parts.take(here)


async def test_of_shards_those_with_work_are_looked_into_alone_and_in_time(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, shards = list[float](), [tuple(range(number, BUCKETS, SHARDS)) for number in range(SHARDS)]
    waiting = [f"did:plc:{number}" for number in range(100)]

    def accounts(*_: Any) -> list[str]:
        asked.append(time.now)
        return waiting

    monkeypatch.setattr(due_parts, "parts_of", lambda _: shards)
    monkeypatch.setattr(due_parts, "texts_of", accounts)
    parts = DueParts(Database("sqlite:///"), lambda: select(job.c.account))
    assert await parts.take(here) == shards
    looks, began = defaultdict[int, list[float]](list), time.now
    while time.now < began + 60:
        time.now += parts.seconds()
        for number, *_ in await parts.take(here):
            looks[number].append(time.now)
    assert looks.keys() == {bucket_of(did) % SHARDS for did in waiting}
    for times in looks.values():
        assert max(later - earlier for earlier, later in pairwise([began, *times])) < IDLE_SECONDS + 0.01
    assert len(asked) <= 60 / IDLE_SECONDS * 2 + 1


def test_a_database_that_is_not_divided_is_one_part(migrated_sqlite: str) -> None:
    with closing(Database(migrated_sqlite)) as database:
        assert parts_of(database) == [EVERY]
