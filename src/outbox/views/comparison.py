"""Compares three versions of a record: what the log wants, what its PDS confirmed last, and what the PDS has now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from aggregates.published import Published
from eventstore.streams.buckets import for_account
from outbox.mirror.tables import lane, mirror_lane, mirror_target, target
from outbox.mirror.targets import PUT
from outbox.pds.client import RecordKey
from outbox.record.dag_cbor import Record, UnencodableError, decode, encode
from outbox.record.kind import EDITED_AT, GENERATION, RecordKind, RecordKinds
from outbox.views.deliveries import deliveries
from outbox.views.status import Mirror, mirrors, without_record

_TARGET: Final = (
    sa.select(mirror_target, lane.host)
    .outerjoin(mirror_lane, lane.did == target.did)
    .where(
        target.did == sa.bindparam("did"),
        target.subject_id == sa.bindparam("subject_id"),
        target.kind == sa.bindparam("kind"),
        ~target.former,
    )
)


@dataclass(frozen=True)
class ConfirmedRecord:
    """What the PDS confirmed last; a record that is absent has neither CID nor fields."""

    generation: int
    body: Record
    cid: str | None
    at: datetime | None
    rev: str | None


@dataclass(frozen=True)
class KnownRecord:
    """A subject's record as far as it is known without its PDS; `wanted` is None where it is to be deleted."""

    host: str
    key: RecordKey
    kind: RecordKind
    mirror: Mirror
    wanted: Record | None
    confirmed: ConfirmedRecord


@dataclass(frozen=True)
class FieldVersions:
    """A field of the record in three versions; null is no value. Fields that are not our `own` stay as other clients left them."""

    field: str
    own: bool
    wanted: Any
    confirmed: Any
    present: Any
    differs: bool


def known_record(connection: sa.Connection, subject: Published, kinds: RecordKinds) -> KnownRecord:
    """Return our fields as they are wanted in a subject's record, and the record that was confirmed."""
    kind, did, subject_id = kinds[subject.TOPIC], subject.did, subject.subject_id
    of = {**for_account(did), "kind": kind.name, "subject_id": subject_id}
    row = connection.execute(_TARGET, of).one_or_none()
    if row is None:
        key = RecordKey(did, subject.collection, subject.rkey)
        nothing = ConfirmedRecord(0, {}, None, None, None)
        return KnownRecord("", key, kind, without_record(subject_id), None, nothing)
    mirror = mirrors(connection, did, kind.name, [subject_id])[subject_id]
    body = decode(row.observed_body) if row.observed_body is not None else {}
    newest = [(row.acked_gen, True)]
    [acked] = deliveries(connection, did, kind.name, subject_id, newest, mirror=mirror).values()
    return KnownRecord(
        host=row.host or "",
        key=RecordKey(row.did, row.collection, row.rkey),
        kind=kind,
        mirror=mirror,
        wanted=kind.record_of(subject, row.desired_gen) if row.desired_op == PUT else None,
        confirmed=ConfirmedRecord(row.acked_gen, body, row.observed_cid, row.acked_at, acked.rev),
    )


def field_versions(known: KnownRecord, present: Mapping[str, Any] | None) -> list[FieldVersions]:
    """Return all fields but the generation, ours first; without `present`, the other two are compared.

    Of other clients' fields those are wanted that a write would keep.
    """
    found = [known.confirmed.body]
    if present is not None:
        try:  # in the form in which confirmed ones are stored
            found.append(decode(encode(dict(present))))
        except UnencodableError:
            found.append(dict(present))
    columns = [known.kind.merged(known.wanted, found[-1]) if known.wanted is not None else {}, *found]
    names = {name for column in columns for name in column} - {GENERATION}
    own = known.kind.own_fields | {EDITED_AT}
    versions = []
    for name in sorted(names, key=lambda each: (each not in own, each)):
        wanted, confirmed, *there = (column.get(name) for column in columns)
        differs = name != EDITED_AT and any(value != wanted for value in (confirmed, *there))
        versions.append(
            FieldVersions(name, name in own, wanted, confirmed, there[0] if there else None, differs)
        )
    return versions
