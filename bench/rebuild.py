"""Compares a rebuild and a verification of the read models with decoding the log by the library's mapper."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from eventsourcing.persistence import Mapper, StoredEvent
from sqlalchemy import select

from bench.cpu import Cpu
from bench.logs import logs, register
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from eventstore.event_log import EventLog
from eventstore.sql.schema import stored_event
from eventstore.streams.codec import json_transcoder
from projections.rebuild.rebuild import EVENTS_PER_PAGE, Replayer, differences, rebuild

SENTENCE: Final = "Processor time of an event in a rebuild and a verification, as a multiple of decoding its row by the library's mapper."
TRACKS: Final = 1_000
QUICK_TRACKS: Final = 6
EDITS_PER_TRACK: Final = 19


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure with a log of tracks that were edited a few times each."""
    rows: list[Row] = []
    tracks = QUICK_TRACKS if effort.is_quick else TRACKS
    for name, log in logs(folder):
        show_progress(f"filling a log, {name}")
        for number in range(1, tracks + 1):
            register(log, number, edits=EDITS_PER_TRACK)
        events = tracks * (EDITS_PER_TRACK + 1)
        arms = [
            Arm(f"{name}: {what}", _seconds_per_event(log, events, work))
            for what, work in {
                "decode": lambda log=log: _decode(log),
                "read": lambda log=log: _read(log),
                "read and fold": lambda log=log: _fold(log),
                "verify": lambda log=log: differences(log, log.projections),
                "rebuild": lambda log=log: rebuild(log, log.projections),
            }.items()
        ]
        rows += compare(arms[0], arms[1:], effort, show_progress)
    return rows


def _seconds_per_event(log: EventLog, events: int, work: Callable[[], object]) -> Callable[[int], Seconds]:
    def run(_count: int) -> Seconds:
        cpu = Cpu(log.database)
        work()
        return [cpu.seconds() / events]

    return run


@dataclass(frozen=True)
class _Recorded:
    position: int
    did: str
    version: int
    event: Any
    topic: str
    actor: str
    via: str
    request_id: str
    recorded_at: datetime


def _decode(log: EventLog) -> None:
    """Do what an application on the library would: an object of each row, its event by the mapper."""
    mapper: Mapper[Any] = Mapper(json_transcoder())
    query = select(stored_event).order_by(stored_event.c.position).limit(EVENTS_PER_PAGE)
    position = 0
    rows: Sequence[Any] = [None]
    while rows:
        with log.database.read() as connection:
            rows = connection.execute(query.where(stored_event.c.position > position)).all()
        for row in rows:
            stored = StoredEvent(row.originator_id, row.originator_version, row.topic, row.state)
            recorded = _Recorded(
                position=row.position,
                did=row.did,
                version=row.originator_version,
                event=mapper.to_domain_event(stored),
                topic=row.topic,
                actor=row.actor,
                via=row.via,
                request_id=row.request_id,
                recorded_at=row.recorded_at,
            )
            position = recorded.position


def _read(log: EventLog) -> None:
    position, until = 0, log.stable_position()
    while page := log.read(after=position, until=until, limit=EVENTS_PER_PAGE):
        position = page[-1].position


def _fold(log: EventLog) -> None:
    replayer, position, until = Replayer(log), 0, log.stable_position()
    while page := log.read(after=position, until=until, limit=EVENTS_PER_PAGE):
        replayer.changes(page)
        position = page[-1].position
