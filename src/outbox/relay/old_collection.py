"""What the old collection may hold of a record that the log places in the current one.

A record is not created beside an unknown one; an unknown one is deleted only once the new one has other clients' fields.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from eventstore.database import Database
from outbox.mirror.lanes import Lane, lock_lane
from outbox.mirror.namespace_moves import Namespaces, is_accounted_for
from outbox.mirror.states import MirrorReason
from outbox.mirror.targets import CHANGE_TARGET, of_target
from outbox.pds.client import RecordKey, Remote
from outbox.pds.verdict import Kind, Verdict
from outbox.relay.delivery_task import DeliveryTask
from outbox.relay.observations import encoded

NO_SUCCESSOR: Final = Verdict(
    Kind.AMBIGUOUS,
    "successor_missing",
    400,
    "the record is not in its new collection, so the copy in the old one is not deleted",
)
IS_IN_OLD_COLLECTION: Final = Verdict(
    Kind.REJECTED,
    MirrorReason.MIGRATION_NEEDED,
    message="the old collection holds a record under the same key: move it by POST /tracks/{id}/migrate-namespace",
)


def place_to_look(database: Database, namespaces: Namespaces, task: DeliveryTask) -> RecordKey | None:
    """Return where the old collection may hold the record; None where the log says what is there."""
    place = namespaces.old_place(task.key)
    if place is None:
        return None
    with database.read() as connection:
        return None if is_accounted_for(connection, place, task.kind.name, task.subject_id) else place


def refusal_of(task: DeliveryTask, found: Remote) -> Verdict | None:
    """Return why the task must not be sent, by what the other collection holds."""
    if task.successor is not None:
        return NO_SUCCESSOR if found.cid is None else None
    return IS_IN_OLD_COLLECTION if found.cid is not None else None


def keep_fields(
    database: Database, lane: Lane, task: DeliveryTask, key: RecordKey, body: Mapping[str, Any] | None
) -> DeliveryTask:
    """Keep other clients' fields of a former copy for the new record, and beside them what the log says.

    Its delete compares that with the copy: fields of ours with another value are held for the owner. Raises LeaseLostError.
    """
    if body is None or task.desired is None:
        return task
    expected = task.kind.merged({**task.desired, "$type": key.collection}, body)
    with database.write() as connection:
        lock_lane(database, connection, lane)
        connection.execute(CHANGE_TARGET, {**of_target(key), "observed_body": encoded(expected)})
    return replace(task, former_fields={**(task.former_fields or {}), **body})
