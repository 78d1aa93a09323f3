"""Commands on the record at the PDS: restore it, move it to the current collection, copy the audio there, resolve, retry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final

from aggregates.errors import InvalidFieldError, UndecidedForeignEditError
from aggregates.published import Published, Subject, event_classes
from aggregates.published_events import (
    ForeignEditObserved,
    ForeignEditWithdrawn,
    PublishedEvent,
    RecordMissing,
)
from aggregates.tracks.track import Track
from application.errors import (
    AlreadyHasRecordError,
    CannotMoveError,
    EditedAgainError,
    MigrationNeededError,
    NothingToResolveError,
)
from application.lists.albums import follow, require_free_title
from application.subjects import SUBJECTS_IN_A_UNIT, On, change_owned, load_owned
from eventstore.change import Envelope, copied
from eventstore.event_budget import EventBudget
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from outbox.blobs.jobs import mark_backfill
from outbox.conflicts.conflicts import (
    Conflict,
    adoptable,
    clear_conflict,
    conflict_of,
    has_conflict,
    keep_ours,
    keep_theirs,
    leave_out,
)
from outbox.mirror.namespace_moves import carry_over, expect_record, is_accounted_for, is_taken
from outbox.mirror.requeue import retry
from outbox.mirror.states import MirrorReason
from outbox.pds.client import RecordKey, Remote
from outbox.record.kind import RecordKind
from outbox.views.status import mirrors
from projections.history import history_page
from projections.tracks.queries import eligible_tracks


class OnPds(Enum):
    PRESENT = "present"
    ABSENT = "absent"
    IN_OLD_COLLECTION = "absent, but the old collection has it, which the log does not know"
    UNKNOWN = "unknown"


SEEN_AT_PDS: Final = (RecordMissing, ForeignEditObserved, ForeignEditWithdrawn)
"""What the relay says of the record; all else that it says is about blobs."""
EVENTS_OF_ONE_BLOB: Final = 20


def restore_record(unit: UnitOfWork, subject: Published, kind: RecordKind, on_pds: OnPds) -> Published:
    """Record that the relay has to write the record again, once, given what the PDS held just before.

    Raises MigrationNeededError or AlreadyHasRecordError.
    """
    moved = RecordKey(subject.did, kind.collection, subject.rkey)
    is_in_old = subject.collection == kind.old_collection
    can_move = is_in_old and not is_taken(unit.connection, moved, excluding=Subject.of(subject))
    if on_pds is OnPds.IN_OLD_COLLECTION or can_move:
        raise MigrationNeededError(kind.old_collection or "", kind=subject.word)
    if _was_just_restored(unit, subject) and not _needs_another(unit, subject, on_pds):
        return subject
    if on_pds is OnPds.PRESENT and subject.record_missing_since is None:
        raise AlreadyHasRecordError(
            RecordKey(subject.did, subject.collection, subject.rkey).uri, kind=subject.word
        )
    subject.restore_record(at=unit.now)
    unit.save(subject)
    clear_conflict(unit.connection, subject.did, subject.TOPIC, subject.subject_id)
    return subject


def _was_just_restored(unit: UnitOfWork, subject: Published) -> bool:
    """Whether RecordRestored is the newest event, apart from the relay's events about blobs."""
    of_subject = (subject.did, subject.subject_id)
    page = history_page(unit.connection, *of_subject, kind=subject.TOPIC, limit=EVENTS_OF_ONE_BLOB)
    of_blobs = {
        each.__name__
        for each in event_classes(type(subject))
        if issubclass(each, PublishedEvent) and each.BY_RELAY and not issubclass(each, SEEN_AT_PDS)
    }
    types = [entry.type for entry in page.items if entry.type not in of_blobs]
    return types[:1] == [subject.RecordRestored.__name__]


def _needs_another(unit: UnitOfWork, subject: Published, on_pds: OnPds) -> bool:
    """Whether the restored record was confirmed and may be gone again, or waits for one in the old collection that is gone."""
    found = mirrors(unit.connection, subject.did, subject.TOPIC, [subject.subject_id])
    mirror = found[subject.subject_id]
    if mirror.reason == MirrorReason.MIGRATION_NEEDED:
        return True
    return on_pds is not OnPds.PRESENT and mirror.acked_generation >= mirror.generation


def change_namespace(
    unit: UnitOfWork, subject: Published, kind: RecordKind, found: OnPds = OnPds.ABSENT
) -> Published:
    """Request the move; a record in the current collection is left unchanged, unless the old one has it too, or may.

    `found` is whether the old collection has the record of a subject that is in the current one.
    """
    old = RecordKey(subject.did, kind.old_collection or "", subject.rkey)
    new = RecordKey(subject.did, kind.collection, subject.rkey)
    if subject.collection == kind.collection:
        _move_what_is_left(unit, subject, old, found)
        return subject
    if subject.collection != old.collection:
        raise CannotMoveError(
            f"The record is in {subject.collection}, not in {old.collection}, and stays there"
        )
    if has_conflict(unit.connection, subject.did, subject.TOPIC, subject.subject_id):
        raise UndecidedForeignEditError(subject.TOPIC)
    if is_taken(unit.connection, new, excluding=Subject.of(subject)):
        raise CannotMoveError(
            f"Another {subject.TOPIC} has, or had, the record {new.uri}: this one stays in {subject.collection}, "
            f"where POST /{subject.word}s/{{id}}/restore-record restores it"
        )
    subject.migrate_namespace(kind.collection, at=unit.now)
    unit.save(subject)
    carry_over(unit.connection, old, new)
    return subject


def _move_what_is_left(unit: UnitOfWork, subject: Published, old: RecordKey, found: OnPds) -> None:
    """Move a record that the log does not know of; if the PDS did not say whether there is one, the relay finds out."""
    if found is OnPds.ABSENT or is_accounted_for(unit.connection, old, subject.TOPIC, subject.subject_id):
        return
    if has_conflict(unit.connection, subject.did, subject.TOPIC, subject.subject_id):
        raise UndecidedForeignEditError(subject.TOPIC)
    subject.migrate_namespace(subject.collection, old_collection=old.collection, at=unit.now)
    unit.save(subject)
    expect_record(unit.connection, old)


AUDIO_BLOB_BYTES: Final = 104_857_600
"""The lexicon's limit of `audioBlob`."""


def copy_audio_to_pds(unit: UnitOfWork, on: On[Track]) -> Track:
    track = change_owned(unit, on, lambda track: track.request_blob_migration(at=unit.now))
    mark_backfill(unit.connection, track.did, Track.subjects([track.track_id]), backfill=False)
    return track


def copy_all_audio_to_pds(
    log: EventLog, budget: EventBudget, did: str, envelope: Envelope, *, failed_too: bool
) -> int:
    """Request a copy for every track that may have one and has none; return the number of new requests.

    A crash leaves the committed requests; a repeated call continues.
    """
    requested, after = 0, 0

    def request_some(unit: UnitOfWork) -> Sequence[int]:
        budget.limit(unit)
        ids = eligible_tracks(
            unit.connection, did, after=after, limit=SUBJECTS_IN_A_UNIT, failed_too=failed_too
        )
        tracks = unit.load_all(Track, [Track.create_id(track_id) for track_id in ids])
        for track in tracks:
            track.request_blob_migration(at=unit.now)
        unit.save(*tracks)
        mark_backfill(unit.connection, did, Track.subjects(ids))
        return ids

    while ids := log.transact(did, envelope, request_some):
        requested, after = requested + len(ids), ids[-1]
    return requested


BY_FIELD: Final = "fields"


class Resolution(StrEnum):
    """The side whose fields stay."""

    OURS = "ours"
    THEIRS = "theirs"


@dataclass(frozen=True)
class Decision:
    """The owner's decision: one side for the whole record, or one for each field of `Conflict.fields`."""

    keep: Resolution | Mapping[str, Resolution]
    cid: str | None = None
    """The version of theirs that the owner has decided on; without it, the one that is known."""
    there: Remote | None = None
    """The record that the PDS has, where fields are named that are not ours."""

    @property
    def policy(self) -> str:
        return self.keep if isinstance(self.keep, Resolution) else BY_FIELD


def resolve(unit: UnitOfWork, subject: Published, kind: RecordKind, decision: Decision) -> Published:
    """Overwrite their record with ours, or adopt their fields, all that the kind takes or the chosen ones.

    Raises NothingToResolveError, EditedAgainError, and InvalidFieldError where the choice does not fit the conflict.
    """
    conflict = conflict_of(unit.connection, subject.did, kind, subject.subject_id)
    if conflict is None:
        return _without_foreign_fields(unit, subject, kind, decision)
    if decision.cid not in {None, conflict.cid}:
        raise EditedAgainError(conflict.cid)
    theirs = [] if isinstance(decision.keep, Resolution) else _chosen(conflict, decision.keep)
    before = copied(subject)
    if theirs or decision.keep is Resolution.THEIRS:
        require_free_title(unit, subject, adoptable(conflict, theirs or None))
        keep_theirs(unit, subject, conflict, fields=theirs or None)
    else:
        keep_ours(unit, subject, conflict)
    follow(unit, before, subject)
    return subject


def _without_foreign_fields(
    unit: UnitOfWork, subject: Published, kind: RecordKind, decision: Decision
) -> Published:
    """Leave fields of other clients out of a record of which no field of ours differs: ours has none."""
    sides = {} if isinstance(decision.keep, Resolution) else decision.keep
    is_ours_alone = set(sides.values()) == {Resolution.OURS} and not sides.keys() & kind.own_fields
    if (
        decision.there is None
        or not is_ours_alone
        or not leave_out(unit, subject, kind, sides, decision.there)
    ):
        raise NothingToResolveError(kind=subject.word)
    return subject


def _chosen(conflict: Conflict, sides: Mapping[str, Resolution]) -> list[str]:
    """Return the fields of which theirs stays; raises InvalidFieldError unless each differing field has a side that it can take."""
    if conflict.theirs is None:
        raise InvalidFieldError(BY_FIELD, "no field of their record can be read; keep `ours` instead")
    theirs = [name for name, side in sides.items() if side is Resolution.THEIRS]
    problems = {
        "a side is missing for": set(conflict.fields) - sides.keys(),
        "nothing differs in": sides.keys() - set(conflict.fields),
        "only `ours` can stay in": {*theirs} & {*conflict.fields} - conflict.kind.adoptable.keys(),
    }
    found = [f"{problem} {', '.join(sorted(names))}" for problem, names in problems.items() if names]
    if found:
        raise InvalidFieldError(BY_FIELD, f"must name a side for each field that differs: {'; '.join(found)}")
    return theirs


def retry_mirror(unit: UnitOfWork, on: On[Any]) -> Published:
    """Make the record due, even of what is deleted."""
    found: Published = load_owned(unit, on, deleted_too=True)
    retry(unit.connection, found.did, *Subject.of(found), unit.now)
    return found
