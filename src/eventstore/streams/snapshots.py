"""Snapshots of aggregates every so many events, so that no state is folded from a long stream.

They are derived. A read uses those alone that the same code made, of an event that is still in the log: any may be missing.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import eventsourcing
import msgspec
import sqlalchemy as sa
from eventsourcing.domain import Aggregate
from eventsourcing.utils import get_topic, resolve_topic

import aggregates
from aggregates.values import (
    Artwork,
    Audio,
    BlobRef,
    Downloads,
    Feature,
    ListItem,
    ReleaseFile,
    SupportGate,
)
from eventstore.change import Change
from eventstore.projection import Into, ProjectedTable, write_rows
from eventstore.sql.prepared import Prepared
from eventstore.sql.schema import Position, metadata, stored_event
from eventstore.streams.buckets import account_columns, bucket_param

EVENTS_PER_SNAPSHOT: Final = 100

aggregate_snapshot: Final = sa.Table(
    "aggregate_snapshot",
    metadata,
    *account_columns(),
    sa.Column("originator_id", sa.Text, primary_key=True),
    sa.Column("originator_version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", Position, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
)


def code_that_folds() -> list[Path]:
    """Return the files that fold aggregates, and write snapshots."""
    ours, library = (Path(str(package.__file__)).parent for package in (aggregates, eventsourcing))
    return [Path(__file__), *sorted(ours.rglob("*.py")), *sorted(library.glob("*.py"))]


@cache
def code_fingerprint() -> str:
    return sha256(b"".join(path.read_bytes() for path in code_that_folds())).hexdigest()[:16]


class Snapshots:
    """The read model of snapshots."""

    name: Final = "snapshots"
    fingerprint: Final = "snapshots-2"
    tables: Final = (ProjectedTable(aggregate_snapshot, about="position", compared_by="fingerprint"),)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        rows = [
            {
                "did": change.did,
                "originator_id": str(change.aggregate_id),
                "originator_version": change.version,
                "position": change.position,
                "fingerprint": code_fingerprint(),
                "topic": get_topic(type(change.after)),
                "state": encode(change.after),
            }
            for change in changes
            if change.version % EVENTS_PER_SNAPSHOT == 0
        ]
        write_rows(connection, into(aggregate_snapshot), rows)


_event: Final = stored_event.c
_snapshot: Final = aggregate_snapshot.c
_IS_OF_EVENT: Final = sa.and_(
    _snapshot.bucket == _event.bucket,
    _snapshot.originator_id == _event.originator_id,
    _snapshot.originator_version == _event.originator_version,
    _snapshot.position == _event.position,
    _snapshot.fingerprint == sa.bindparam("fingerprint"),
)
_NEWEST: Final = (
    sa.select(_snapshot.originator_version)
    .join(stored_event, _IS_OF_EVENT)
    .where(
        _snapshot.bucket == bucket_param("did"),
        _snapshot.originator_id == sa.bindparam("stream"),
        _snapshot.originator_version <= sa.bindparam("upto"),
    )
    .order_by(_snapshot.originator_version.desc())
    .limit(sa.literal_column("1"))
    .scalar_subquery()
)
FROM_SNAPSHOT: Final = Prepared(
    lambda _: (
        sa.select(stored_event, _snapshot.topic.label("of_topic"), _snapshot.state.label("snapshot"))
        .select_from(stored_event.outerjoin(aggregate_snapshot, _IS_OF_EVENT))
        .where(
            _event.bucket == bucket_param("did"),
            _event.originator_id == sa.bindparam("stream"),
            _event.originator_version >= sa.func.coalesce(_NEWEST, sa.literal_column("0")),
            _event.originator_version <= sa.bindparam("upto"),
        )
        .order_by(_event.originator_version)
    )
)
"""A stream up to a version, from the event of its newest snapshot on: that event has the `snapshot` beside it."""


_TYPES: Final[dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]]] = {
    UUID: (str, UUID),
    datetime: (datetime.isoformat, datetime.fromisoformat),
    tuple: (list, tuple),
    Downloads: (str, Downloads),
    ReleaseFile: (vars, lambda fields: ReleaseFile(**fields)),
    **{
        each: (vars, partial(msgspec.convert, type=each))
        for each in (Artwork, Audio, BlobRef, Feature, ListItem, SupportGate)
    },
}
_BY_NAME: Final = {each.__name__: unpack for each, (_, unpack) in _TYPES.items()}
_TYPE: Final = "_type_"


def encode(aggregate: Aggregate) -> bytes:
    state = {name: _packed(value) for name, value in sorted(vars(aggregate).items()) if name != _PENDING}
    return json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode()


def decode(topic: str, state: bytes) -> Aggregate:
    aggregate: Aggregate = object.__new__(resolve_topic(topic))
    values = json.loads(
        state, object_hook=lambda read: _BY_NAME[read[_TYPE]](read["value"]) if _TYPE in read else read
    )
    vars(aggregate).update(values, **{_PENDING: []})
    return aggregate


_PENDING: Final = "_pending_events"


def _packed(value: Any) -> Any:
    kind = type(value)
    if kind in _TYPES:
        return {_TYPE: kind.__name__, "value": _packed(_TYPES[kind][0](value))}
    if kind is list:
        return [_packed(each) for each in value]
    if kind is dict:
        return {key: _packed(each) for key, each in value.items()}
    if value is None or kind in {str, int, float, bool}:
        return value
    msg = f"a {kind.__name__} in the state of an aggregate: name it in _TYPES"
    raise TypeError(msg)
