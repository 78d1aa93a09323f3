"""The order of work, which databases read from indexes, is the one that is documented, in whatever account."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import delete, insert

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from outbox.mirror.lanes import Lane, change_lane, release
from outbox.mirror.observe_only import observed_account
from outbox.mirror.tables import NEVER, mirror_target
from outbox.relay.delivery_task import next_task
from tests.outbox.rigs.relay_rig import KINDS
from tests.outbox.rigs.rows import add_lane, claimed, lane_row, set_host

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
OTHERS = "did:plc:2"
NEVER_DUE = float("inf")


@dataclass(frozen=True)
class Target:
    """What matters of a row; times in hours from now, None for never."""

    desired_gen: int
    desired_op: str
    detached: bool
    former: bool
    acked_gen: int
    state: str
    attempts: int
    failed_gen: int
    not_before: int | None
    look_at: int | None
    backfill: bool
    cleared_gen: int
    done: bool
    """Whether this turn has seen to it already; no column."""

    @property
    def row(self) -> dict[str, Any]:
        times = {
            name: NEVER if vars(self)[name] is None else at(vars(self)[name])
            for name in ("not_before", "look_at")
        }
        return {name: value for name, value in vars(self).items() if name != "done"} | times

    @property
    def has_something_to_send(self) -> bool:
        failed = self.failed_gen >= self.desired_gen
        if self.desired_gen <= self.acked_gen or (self.state == "rejected" and failed):
            return False
        if self.former:
            return self.cleared_gen >= self.desired_gen and not (self.state == "held" and failed)
        return self.desired_op == "delete" or not (self.state == "held" or self.detached)

    @property
    def due(self) -> float:
        if not self.has_something_to_send:
            return NEVER_DUE if self.look_at is None else self.look_at
        if self.failed_gen != self.desired_gen:
            return -NEVER_DUE
        return NEVER_DUE if self.not_before is None else self.not_before

    @property
    def turn(self) -> tuple[int, int, bool, int]:
        live, look, backfill = range(3)
        work = backfill if self.backfill else live if self.has_something_to_send else look
        failures = self.attempts if self.failed_gen == self.desired_gen else 0
        return work, failures, self.desired_op != "delete", self.desired_gen


@dataclass(frozen=True)
class Place:
    """What matters of the lane and its host; times in hours from now."""

    lane_paused: bool = False
    lane_paced_until: int = -1
    lane_backfill_after: int = -1
    host_paused: bool = False
    host_paced_until: int = -1
    host_retry_at: int = -1
    host_backfill_after: int = -1
    observed: bool = False

    def of(self, kind: str) -> dict[str, Any]:
        mine = {
            name.removeprefix(f"{kind}_"): told for name, told in vars(self).items() if name.startswith(kind)
        }
        return {name: told if isinstance(told, bool) else at(told) for name, told in mine.items()}

    @property
    def is_open(self) -> bool:
        closed = self.lane_paused or self.host_paused or self.observed
        return not closed and max(self.lane_paced_until, self.host_paced_until, self.host_retry_at) <= 0

    @property
    def has_room_for_backfill(self) -> bool:
        return max(self.lane_backfill_after, self.host_backfill_after) <= 0


TABLES = range(2000 if os.environ.get("TEST_DEEP") else 200)
"""Seeds."""
TIMES = [-1, -1, -1, 0, 1]


def drawn(dice: Random) -> list[Target]:
    bulk = dice.choice([0.2, 0.8])
    return [a_target(dice, bulk) for _ in range(dice.randint(0, 8))]


def a_target(dice: Random, bulk: float) -> Target:
    gen = dice.randint(1, 4)
    return Target(
        desired_gen=gen,
        desired_op=dice.choice(["put", "put", "delete"]),
        detached=dice.random() < 0.2,
        former=dice.random() < 0.2,
        acked_gen=dice.choice([0, 0, gen - 1, gen]),
        state=dice.choice(["idle", "backoff", "backoff", "blob", "rejected", "held"]),
        attempts=dice.randint(0, 2),
        failed_gen=dice.choice([0, gen - 1, gen]),
        not_before=dice.choice([None, *TIMES]),
        look_at=dice.choice([None, *TIMES]),
        backfill=dice.random() < bulk,
        cleared_gen=dice.choice([gen - 1, gen, gen + 1]),
        done=dice.random() < 0.2,
    )


OPEN = [Place(), Place(lane_paced_until=0, host_paced_until=0, host_retry_at=0)]
ONLY_LIVE = [Place(lane_backfill_after=1), Place(host_backfill_after=1)]
CLOSED = [
    Place(lane_paused=True),
    Place(host_paused=True),
    Place(observed=True),
    Place(lane_paced_until=1),
    Place(host_paced_until=1),
    Place(host_retry_at=1),
]
PLACES = [*OPEN * 8, *ONLY_LIVE * 6, *CLOSED]


@pytest.fixture(name="database")
def _database(migrated_url: str) -> Iterator[Database]:
    made = Database(migrated_url, clock=lambda: NOW)
    yield made
    made.close()


@pytest.fixture(name="lane")
def _lane(database: Database) -> Lane:
    """Of an account beside which another one has work as well."""
    add_lane(database, 1)
    add_lane(database, 2)
    lane, _ = claimed(database)
    return lane


def test_the_next_is_the_first_that_is_due_and_may_be_sent(database: Database, lane: Lane) -> None:
    for seed in TABLES:
        dice = Random(seed)  # noqa: S311
        targets, place, backfill = drawn(dice), dice.choice(PLACES), dice.random() < 0.7
        arrange(database, lane, targets, place)
        due = [
            number
            for number, target in enumerate(targets)
            if not target.done and target.due <= 0 and place.is_open
            if not target.backfill or (backfill and place.has_room_for_backfill)
        ]
        done = [number for number, target in enumerate(targets) if target.done]

        found = next_of(database, replace(lane, backfill=backfill), done)

        if due:
            assert found in due, seed
            assert targets[found].turn == min(targets[number].turn for number in due), seed
        else:
            assert found is None, seed


def test_a_lane_is_given_back_until_the_first_of_each_class_is_due(database: Database, lane: Lane) -> None:
    for seed in TABLES:
        targets = drawn(Random(seed))  # noqa: S311
        arrange(database, lane, targets, Place())

        release(database, lane)

        row = lane_row(database, lane.did)
        assert row.due_at == first_time(target.due for target in targets if not target.backfill), seed
        assert row.backfill_at == first_time(target.due for target in targets if target.backfill), seed


def first_time(due: Iterable[float]) -> datetime:
    first = max(min(due, default=NEVER_DUE), 0)
    return NEVER if first == NEVER_DUE else at(first)


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def arrange(database: Database, lane: Lane, targets: Sequence[Target], place: Place) -> None:
    """Let the account have these targets, whose tracks are their numbers, and another account the same."""
    rows = [
        target.row | {"did": did, "collection": "c", "rkey": str(number), "subject_id": number + apart}
        for did, apart in ((lane.did, 0), (OTHERS, len(targets)))
        for number, target in enumerate(targets)
    ]
    with database.write() as connection:
        for table in (mirror_target, observed_account):
            connection.execute(delete(table))
        if rows:
            connection.execute(insert(mirror_target), rows)
        if place.observed:
            connection.execute(insert(observed_account).values(did=lane.did))
        change_lane(connection, lane.did, **place.of("lane"))
    set_host(database, lane.host, **place.of("host"))


def next_of(database: Database, lane: Lane, done: Sequence[int]) -> int | None:
    """The track whose turn it is; of events there are none here."""
    log = EventLog(database, projections=[])
    task = next_task(log, lane, KINDS, NOW, [f"c/{each}" for each in done])
    return task.subject_id if task is not None else None
