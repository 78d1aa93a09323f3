"""Finds records that this service would write otherwise today: an address or the mapping has changed, or a list was left behind.

Of the former, only those count that it has written: one that was adopted keeps its addresses until its track changes.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from eventstore.event_log import EventLog
from eventstore.streams.buckets import for_account
from outbox.lists.references import lists_left_behind
from outbox.mirror.due import is_open
from outbox.mirror.states import UnsentOutcome
from outbox.mirror.tables import FEW_ROWS, IS_ATTEMPT_OF_TARGET, attempt, mirror_target, target
from outbox.mirror.targets import PUT, are_about
from outbox.pds.client import RecordKey
from outbox.record.kind import RecordKinds
from outbox.relay.delivery_task import DeliveryTask, read_subjects, task_of
from replay.reconcile.drift import DriftKind

SAMPLED_RECORDS: Final = 50

_WRITTEN: Final = sa.select(
    mirror_target, target.subject_id.label("subject_id"), is_open().label("is_open")
).where(target.ever_sent, ~target.former, target.desired_op == PUT, target.acked_gen >= target.desired_gen)
_OF_ACCOUNT: Final = _WRITTEN.where(target.did == sa.bindparam("of_did")).execution_options(**FEW_ROWS)
_IS_SENT: Final = sa.exists().where(
    IS_ATTEMPT_OF_TARGET,
    attempt.request_cid == target.observed_cid,
    attempt.outcome.is_distinct_from(UnsentOutcome.ADOPTED),
)
_SAMPLES: Final = [
    _WRITTEN.where(_IS_SENT).order_by(order).limit(SAMPLED_RECORDS)
    for order in (target.acked_at, target.acked_at.desc())
]
"""An address that has changed is in the record that was written the longest ago; one that was wrong for a while, in the last ones."""


def outdated_records(log: EventLog, kinds: RecordKinds, did: str) -> dict[RecordKey, DriftKind]:
    """Return which records of an account are as this service wrote them, and would be written otherwise now, and how they differ."""
    with log.database.read() as connection:
        behind = lists_left_behind(connection, did, log.database.now(connection))
        of_lists = [
            sa.select(target.collection, target.rkey).where(target.did == did, ~target.former, some)
            for some in are_about(TrackList.subjects(behind))
        ]
        lists = {RecordKey(did, *row) for each in of_lists for row in connection.execute(each)}
        pages = connection.execute(_OF_ACCOUNT, for_account(did, "of_did")).partitions()
        others = {task.key for page in pages for task in _outdated(log, connection, page, kinds)}
    return dict.fromkeys(lists, DriftKind.BEHIND) | dict.fromkeys(others, DriftKind.OUTDATED)


def sample_outdated(log: EventLog, kinds: RecordKinds) -> DeliveryTask | None:
    """Return an outdated record among those that were written the longest ago and last; None if there is none."""
    with log.database.read() as connection:
        rows = [row for sample in _SAMPLES for row in connection.execute(sample)]
        return next(_outdated(log, connection, rows, kinds), None)


def _outdated(
    log: EventLog, connection: sa.Connection, rows: Sequence[Any], kinds: RecordKinds
) -> Iterator[DeliveryTask]:
    read = read_subjects(log, connection, rows)
    for row in rows:
        task = task_of(log, connection, row, kinds, read)
        if task.is_outdated:
            yield task
