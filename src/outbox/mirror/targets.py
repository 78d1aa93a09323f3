"""The projection of what each PDS must hold, applied in the transaction of the events."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.dml import Insert

from aggregates.published import Published, Subject, WithBlob, has_record
from aggregates.published_events import Created, Deleted, NamespaceMigrated, PublishedEvent, Undeleted
from eventstore.change import Change, changes_of
from eventstore.coordination.commit_signals import awaited
from eventstore.projection import Into, into_live, upserting, write_rows
from eventstore.sql.prepared import Assumption, Prepared
from eventstore.streams.append import insert_of, key_of
from eventstore.streams.buckets import for_account
from outbox.mirror.states import LaneState
from outbox.mirror.tables import (
    BLOB_JOBS,
    IS_OPEN_JOB,
    NEVER,
    NO_FAILURES,
    PAST,
    TARGETS,
    blob_job,
    lane,
    mirror_lane,
    mirror_target,
    target,
    upload,
)
from outbox.pds.client import RecordKey
from outbox.ports import trace_parent

IDENTITY: Final = frozenset({"did", "collection", "rkey", "kind", "subject_id", "former"})
"""The columns of a target that stay while it is its subject's current one: SQLite writes every index of a column that is set."""
PUT: Final = "put"
DELETE: Final = "delete"
MAX_SUBJECTS_PER_STATEMENT: Final = 1000
MIN_LANE_INTERVAL: Final = timedelta(seconds=0.1)
"""The shortest time between two claims of one lane for what no caller waits for, so that edits in quick succession arrive as one write."""


BEGINS: Final = (Created, Undeleted)
"""Events after which a record is wanted, even where it has no generation yet, since what it refers to has no record."""
DECIDES_OVER_FORMER: Final = (NamespaceMigrated, Deleted, Undeleted)
"""Events after which a subject's former records wait until its current record is delivered as they say."""


@dataclass
class _Page:
    """One subject in a page of changes: its newest state, and the newest changes that concern targets."""

    newest: Published = field(init=False)
    touched: Change | None = None
    blob_changed: WithBlob | None = None
    bytes_replaced: WithBlob | None = None
    former: dict[str, Change] = field(default_factory=dict)
    """By former collection: the newest change that concerns its record."""

    def add(self, change: Change, before: Published | None, subject: Published) -> None:
        self.newest = subject
        may_be_written = has_record(before, subject)
        if may_be_written and subject.former_collections and isinstance(change.event, DECIDES_OVER_FORMER):
            self.former |= dict.fromkeys(subject.former_collections, change)
        if not isinstance(change.event, PublishedEvent):
            return
        if may_be_written and (change.event.sets_generation() or isinstance(change.event, BEGINS)):
            self.touched = change
        if change.event.REPLACES_BYTES and isinstance(subject, WithBlob):
            self.bytes_replaced = subject
        desired = before.desired_blob if before is not None else None
        if desired != subject.desired_blob and isinstance(subject, WithBlob):
            self.blob_changed = subject


class MirrorTargets:
    """One target per record: its newest generation, and whether it is to be put or deleted."""

    name: Final = "mirror"
    fingerprint: Final = "mirror-2"
    tables: Final = (TARGETS, BLOB_JOBS)

    def first(self, changes: Sequence[Change]) -> Sequence[Assumption]:
        """Make the lane of a record that is there due."""
        known = [each for each in changes if _is_known(each)]
        return [Assumption(_WAKE_KNOWN.query(**_woken(each.did, _at(each))), finds=True) for each in known]

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        """Set the targets to the newest state; in the live tables, make their lanes due too."""
        if _is_live(into):  # lanes are locked before targets, as everywhere
            for did, at in {each.did: _at(each) for each, *_ in changes_of(Published, changes)}.items():
                wake_lane(connection, did, at)
        self._set(connection, changes, into)

    def apply_rest(self, connection: sa.Connection, changes: Sequence[Change]) -> None:
        self._set(connection, changes, into_live)

    def _set(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        pages: dict[Any, _Page] = defaultdict(_Page)
        for change, before, after in changes_of(Published, changes):
            pages[change.aggregate_id].add(change, before, after)
        if _is_live(into):
            for did in {change.did for change in changes if isinstance(change.event, Deleted)}:
                # a full account's lane goes on: deletes are sent first
                is_full = (lane.did == did, lane.state == LaneState.FULL)
                goes_on = {"state": LaneState.READY, "probe_at": NEVER}
                connection.execute(sa.update(mirror_lane).where(*is_full).values(goes_on))
                queue_uploads(connection, did)
        _write(connection, list(pages.values()), into)


def _is_live(into: Into) -> bool:
    return into(mirror_target) is mirror_target


def _write(connection: sa.Connection, pages: Sequence[_Page], into: Into) -> None:
    rows: list[dict[str, Any]] = []
    for page in pages:
        newest = page.newest
        # first, since only one target of a subject may be current
        for collection, change in page.former.items():
            if collection in newest.former_collections:
                rows.append(_target(newest, collection, change.position, DELETE, former=True))
        if page.touched is not None:
            op = PUT if newest.wants_record else DELETE
            event: Any = page.touched.event
            gen = page.touched.position if event.sets_generation() else 0
            rows.append(_target(newest, newest.collection, gen, op, former=False))
        else:
            table, detached = into(mirror_target), newest.record_missing_since is not None
            this = is_about(table, newest.did, newest.TOPIC, newest.subject_id)
            changes = (~table.c.former, table.c.detached != detached)
            connection.execute(sa.update(table).where(*this, *changes).values(detached=detached))
    if _is_live(into):  # live work does not wait for backfill
        trace = trace_parent.get()
        rows = [{**row, "backfill": False, "trace": trace} for row in rows]
    if rows:
        kept = IDENTITY if len(rows) == 1 and _is_known(pages[0].touched) else ()
        changed = tuple(name for name in rows[0] if name not in kept)
        upserting(into(mirror_target), tuple(rows[0]), changed).many(connection, rows)
    blobs = [blob_row(page.blob_changed) for page in pages if page.blob_changed is not None]
    if _is_live(into):
        blobs = [{**row, "queue_at": PAST} for row in blobs]
    write_rows(connection, into(blob_job), blobs)
    for page in pages:
        if (subject := page.bytes_replaced) is not None and _is_live(into):
            # else the new bytes are uploaded unasked, or wait for a pause that is not their own
            at_once = {"not_before": PAST, "queue_at": PAST}
            clean = {"again": False, "attempts": 0, "last_error": None, "cause": None, **NO_FAILURES}
            this = is_about(blob_job, subject.did, subject.TOPIC, subject.subject_id)
            connection.execute(sa.update(blob_job).where(*this).values(clean | at_once))


def _is_known(touched: Change | None) -> bool:
    """Whether the target is there already, as the one of its subject that is current."""
    if touched is None or not isinstance(touched.before, Published):
        return False
    return isinstance(touched.after, Published) and touched.before.collection == touched.after.collection


def _target(newest: Published, collection: str, gen: int, op: str, *, former: bool) -> dict[str, Any]:
    return {
        "did": newest.did,
        "collection": collection,
        "rkey": newest.rkey,
        "kind": newest.TOPIC,
        "subject_id": newest.subject_id,
        "desired_gen": gen,
        "desired_op": op,
        "detached": not former and newest.record_missing_since is not None,
        "former": former,
    }


def blob_row(subject: WithBlob) -> dict[str, Any]:
    desired = subject.desired_blob
    return {
        "did": subject.did,
        "kind": subject.TOPIC,
        "subject_id": subject.subject_id,
        "audio_cid": subject.blob_bytes.cid,
        "requested": desired is not None and desired.is_requested,
    }


def queue_uploads(connection: sa.Connection, did: str) -> None:
    """Have a job requested for the uploads of an account whose lane takes uploads again."""
    connection.execute(sa.update(blob_job).where(upload.did == did, IS_OPEN_JOB).values(queue_at=PAST))


def wake_lane(connection: sa.Connection, did: str, at: datetime) -> None:
    """Make the lane due at `at` at the latest, however lately it ran if the commit is `awaited`; `not_before` stays, which is the relay's.

    An account that never signed in gets a lane that waits for its sign-in.
    """
    row = {**_woken(did, at), "host": "", "state": LaneState.AUTH_REQUIRED}
    _WAKE.start(connection, row)


def _at(change: Change) -> datetime:
    return change.appended_at or change.recorded_at  # by the database's clock, as lanes need it


def _woken(did: str, at: datetime) -> dict[str, Any]:
    debounced_until = PAST if awaited.get() else at + MIN_LANE_INTERVAL
    return {"did": did, "due_at": at, "debounced_until": debounced_until}


def _wake_statement(dialect: str) -> Insert:
    insert = insert_of(dialect, mirror_lane)
    new, old = insert.excluded, mirror_lane.c
    is_earlier = {name: new[name] < old[name] for name in ("due_at", "debounced_until")}
    return insert.on_conflict_do_update(
        index_elements=key_of(dialect, mirror_lane),
        set_={name: sa.case((earlier, new[name]), else_=old[name]) for name, earlier in is_earlier.items()},
        where=sa.or_(*is_earlier.values()),
    )


_WAKE_KNOWN: Final = Prepared(
    lambda _: (
        sa.update(mirror_lane)
        .where(lane.did == sa.bindparam("did"))
        .values(
            {
                name: sa.func.least(lane[name], sa.bindparam(name, type_=lane[name].type, required=True))
                for name in ("due_at", "debounced_until")
            }
        )
        .returning(lane.did)
    )
)
_WAKE: Final = Prepared(_wake_statement, ("did", "host", "state", "due_at", "debounced_until"))


def upsert(connection: sa.Connection, table: sa.Table, row: dict[str, Any], columns: Sequence[str]) -> None:
    """Insert a row, or set these columns of the one with its key."""
    upserting(table, tuple(row), tuple(columns)).start(connection, row)


PLACE: Final = target.collection + sa.literal_column("'/'") + target.rkey
"""Names a record of an account, as `RecordKey.place` does."""
IS_TARGET: Final = sa.and_(
    target.did == sa.bindparam("of_did"),
    target.collection == sa.bindparam("of_collection"),
    target.rkey == sa.bindparam("of_rkey"),
)
"""True for the target that `of_target` names."""
CHANGE_TARGET: Final = sa.update(mirror_target).where(IS_TARGET)
"""Sets the columns that it is executed with."""


def of_target(key: RecordKey) -> dict[str, str]:
    return {**for_account(key.did, "of_did"), "of_collection": key.collection, "of_rkey": key.rkey}


def is_about(table: sa.Table, did: str, kind: str, subject_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions of the targets, or the uploads, of a subject."""
    return table.c.did == did, table.c.subject_id == subject_id, table.c.kind == kind


def are_about(
    subjects: Iterable[Subject], table: sa.Table = mirror_target
) -> Iterator[sa.ColumnElement[bool]]:
    """Yield conditions that together select the targets, or the uploads, of these subjects, a limited number each."""
    by_kind: dict[str, list[int]] = defaultdict(list)
    for kind, subject_id in subjects:
        by_kind[kind].append(subject_id)
    for kind, ids in by_kind.items():
        for start in range(0, len(ids), MAX_SUBJECTS_PER_STATEMENT):
            some = table.c.subject_id.in_(ids[start : start + MAX_SUBJECTS_PER_STATEMENT])
            yield sa.and_(table.c.kind == kind, some)


def change_rows(
    connection: sa.Connection,
    table: sa.Table,
    did: str,
    subjects: Iterable[Subject],
    *which: sa.ColumnElement[bool],
    **columns: Any,
) -> int:
    """Set columns of the targets, or the uploads, of these subjects of an account; returns of how many."""
    change = sa.update(table).where(table.c.did == did, *which).values(columns)
    return sum(connection.execute(change.where(these)).rowcount for these in are_about(subjects, table))
