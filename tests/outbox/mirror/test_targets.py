"""Targets follow the log, and a rebuild touches only what follows from it: in pages of any size, see tests/replay/test_properties.py."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from aggregates.tracks.track import Track
from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from outbox.mirror.lanes import change_lane
from outbox.mirror.requeue import wake_stuck_lanes
from outbox.mirror.tables import BLOB_JOBS, NEVER, TARGETS, blob_job, mirror_lane, mirror_target
from outbox.mirror.targets import MirrorTargets
from projections.rebuild.difference import DifferenceKind
from projections.rebuild.rebuild import differences, rebuild
from tests.dsl import ALICE, a_track, some_audio, some_blob, some_time
from tests.servers.databases import ON_SQLITE

NOW = some_time(10)
STEPS: dict[str, Callable[[Track], None]] = {
    "title": lambda t: t.edit({"title": f"v{t.version}"}, at=NOW),
    "tags": lambda t: t.edit({"tags": (f"v{t.version}",)}, at=NOW),
    "unlist": lambda t: t.set_unlisted(not t.unlisted, at=NOW),
    "audio": lambda t: t.replace_audio(some_audio(100 + t.version), at=NOW),
    "want_blob": lambda t: t.request_blob_migration(at=NOW),
    "blob": lambda t: t.record_blob(some_blob(t.audio), at=NOW),
    "missing": lambda t: t.record_missing(observed_at=NOW),
    "restore": lambda t: t.restore_record(at=NOW),
    "delete": lambda t: t.delete(at=NOW),
    "undelete": lambda t: t.undelete(at=NOW),
}
ENVELOPE = Envelope(actor=ALICE, via="test", request_id="r")


def a_log(database: Database) -> EventLog:
    return EventLog(database, projections=[MirrorTargets()])


def tell(log: EventLog, track_id: int, *names: str) -> None:
    with log.unit_of_work(ALICE, ENVELOPE) as unit:
        track = unit.load(Track, Track.create_id(track_id))
        for name in names:
            STEPS[name](track)
        unit.save(track)


def record(log: EventLog) -> None:
    for track_id in (1, 2, 3):
        with log.unit_of_work(ALICE, ENVELOPE) as unit:
            unit.save(a_track(track_id))


def rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    found = {}
    with database.read() as connection:
        for table in (TARGETS, BLOB_JOBS):
            columns = [table.live.c[name] for name in (*table.key, *table.columns)]
            query = select(*columns).order_by(*table.live.primary_key)
            found[table.live.name] = [tuple(row) for row in connection.execute(query)]
    return found


def test_several_events_in_one_unit_make_the_rows_that_they_make_one_by_one(database: Database) -> None:
    log = a_log(database)
    names = ("want_blob", "blob", "audio", "audio", "title", "missing", "tags")
    record(log)
    tell(log, 1, *names)
    for name in names:
        tell(log, 2, name)
    assert differences(log, [MirrorTargets()], page=1) == []
    (*_, one, _, _, _), (*_, two, _, _, _), _ = rows(database)["mirror_target"]
    assert one < two


@ON_SQLITE
@pytest.mark.parametrize(
    ("names", "touches", "op", "detached"),
    [
        ([], False, "put", False),
        (["title"], True, "put", False),
        (["tags"], False, "put", False),
        (["unlist"], False, "put", False),
        (["delete"], True, "delete", False),
        (["delete", "undelete"], True, "put", False),
        (["missing"], False, "put", True),
        (["missing", "title"], True, "put", True),
        (["missing", "restore"], True, "put", False),
        (["missing", "delete"], True, "delete", False),
        (["missing", "delete", "undelete"], True, "put", False),
        (["want_blob"], False, "put", False),
        (["want_blob", "blob"], True, "put", False),
    ],
)
def test_a_target_says_what_the_record_must_be(
    database: Database, names: list[str], touches: bool, op: str, detached: bool
) -> None:
    log = a_log(database)
    record(log)
    [created, *_] = rows(database)["mirror_target"]
    tell(log, 1, *names)
    [now, *_] = rows(database)["mirror_target"]
    assert (now[5] > created[5], now[6], now[7]) == (touches, op, detached)


def test_a_repair_touches_no_column_that_was_observed(database: Database) -> None:
    log = a_log(database)
    record(log)
    tell(log, 1, "want_blob")
    observed = {"acked_gen": 7, "observed_cid": "c", "state": "held", "reason": "r", "attempts": 3}
    with database.write() as connection:
        connection.execute(update(mirror_target).values(**observed, desired_gen=99, desired_op="delete"))
        connection.execute(update(blob_job).values(requested=False, again=True, attempts=4, last_error="e"))

    found = differences(log, [MirrorTargets()])
    assert {each.kind for each in found} == {DifferenceKind.CHANGED}
    rebuild(log, [MirrorTargets()])

    assert differences(log, [MirrorTargets()]) == []
    with database.read() as connection:
        for row in connection.execute(select(mirror_target)).mappings():
            assert {name: row[name] for name in observed} == observed
            assert (row["desired_op"], row["desired_gen"] < 99) == ("put", True)
        job = connection.execute(select(blob_job)).one()
    assert (job.requested, job.again, job.attempts, job.last_error) == (True, True, 4, "e")


def test_a_change_wakes_its_lane_and_a_rebuild_none_but_what_it_repaired_is_found(
    database: Database,
) -> None:
    log = a_log(database)
    record(log)
    with database.write() as connection:
        change_lane(connection, ALICE, due_at=NEVER, state="ready")
        connection.execute(delete(mirror_target))
    rebuild(log, [MirrorTargets()])
    with database.read() as connection:
        assert connection.scalar(select(mirror_lane.c.due_at)) == NEVER
    assert wake_stuck_lanes(database) == [ALICE]
    with database.write() as connection:
        change_lane(connection, ALICE, due_at=NEVER)
    tell(log, 1, "title")
    with database.read() as connection:
        assert connection.scalar(select(mirror_lane.c.due_at)) < NEVER


def test_the_first_track_of_an_account_that_never_signed_in_waits_for_its_sign_in(database: Database) -> None:
    record(a_log(database))
    with database.read() as connection:
        lane = connection.execute(select(mirror_lane)).one()
    assert (lane.did, lane.state, lane.host) == (ALICE, "auth_required", "")
