"""Record tracks in a log, and look at what the read models made of them."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Table, select

from aggregates.tracks.track import Track
from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.jobs.table import job, job_turn
from eventstore.sql.database import Database
from eventstore.sql.schema import projection_state, stored_event
from eventstore.streams.snapshots import aggregate_snapshot
from eventstore.unit_of_work import UnitOfWork
from projections.reactions import outsider_reaction, reaction, track_count
from service.schema.tables import READ_MODELS
from tests.dsl import ALICE, Step, a_track

ENVELOPE = Envelope(actor=ALICE, via="test", request_id="r-1")
Rows = dict[str, list[dict[str, Any]]]


def create_tables(database: Database) -> None:
    ours = [each.live for projection in READ_MODELS for each in projection.tables]
    of_log = [
        stored_event,
        projection_state,
        aggregate_snapshot,
        reaction,
        track_count,
        outsider_reaction,
        job,
        job_turn,
    ]
    stored_event.metadata.create_all(database.engine, tables=[*of_log, *ours])


def track_log(database: Database) -> EventLog:
    return EventLog(database, projections=READ_MODELS)


def upload(log: EventLog, track_id: int = 1, **fields: Any) -> Track:
    track = a_track(track_id, **fields)
    log.transact(track.did, ENVELOPE, lambda unit: unit.save(track))
    return track


def change(
    log: EventLog, track_id: int, *steps: Step, did: str = ALICE, envelope: Envelope = ENVELOPE
) -> Track:
    def work(unit: UnitOfWork) -> Track:
        track = unit.load(Track, Track.create_id(track_id))
        for step in steps:
            step(track)
        unit.save(track)
        return track

    return log.transact(did, envelope, work)


def live_rows(log: EventLog) -> Rows:
    """All rows of the read models."""
    return rows_of(log, [each.live for projection in READ_MODELS for each in projection.tables])


def rows_of(log: EventLog, tables: Iterable[Table]) -> Rows:
    """In the order of their keys, read in one snapshot."""
    with log.database.read() as connection:
        return {
            table.name: [
                dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()
            ]
            for table in tables
        }
