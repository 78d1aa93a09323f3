"""A record's mirror as JSON: what the log wants, what the PDS confirmed, what was attempted, and what the PDS has now."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic

import sqlalchemy as sa
from fastapi import Path
from pydantic import BaseModel, Field, create_model

from aggregates.tracks.track import Track
from aggregates.tracks.track_events import NOT_IN_RECORD
from api.json_response import body_from
from api.responses.track import MirrorBody, Upcoming
from application.subjects import A, On
from application.tracks.revert import KEPT_BECAUSE
from outbox.conflicts.conflicts import FieldConflict, conflict_of, field_conflicts
from outbox.mirror.states import PROBED, LaneState, MirrorReason
from outbox.mirror.tables import NEVER
from outbox.pds.client import RecordKey
from outbox.record.kind import RecordKinds
from outbox.repo.reads import PresentRecord
from outbox.views import overview
from outbox.views.comparison import FieldVersions, KnownRecord, field_versions
from outbox.views.deliveries import attempts_of
from outbox.views.drain import drain_of
from outbox.views.status import mirrors

ATTEMPTS: Final = 50


class DesiredBody(BaseModel):
    """What the log wants: a put or a delete, as of this event's position."""

    op: str
    generation: int


class ObservedBody(BaseModel):
    """The CID that the PDS was last known to hold."""

    cid: str | None


class AckedBody(BaseModel):
    """The newest event that the PDS is known to have."""

    generation: int


class AttemptBody(BaseModel):
    """One attempt to write the record."""

    id: int
    record_uri: str
    gen: int
    op: str
    request_cid: str | None
    swap_cid: str | None
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    status: int | None
    error: str | None
    rev: str | None


class LeftBody(BaseModel):
    """What the record has left in the collection where it was, and is still to be deleted."""

    record_uri: str
    state: str
    reason: str | None
    attempts: int
    last_error: str | None
    next_attempt_at: Upcoming


class ConflictBody(BaseModel):
    """Another client's version of the record, or of its former record, which waits for mirror/resolve."""

    record_uri: str
    cid: str
    value: dict[str, Any] | None = Field(description="null when it is not valid in a record of ours")
    fields: list[str] = Field(description="which of our fields they changed")
    values: list[FieldConflict] = Field(
        description="the same fields with the values of both sides, as mirror/resolve with `fields` decides them"
    )


class AnyMirrorBody(MirrorBody):
    """One record's mirror, of any kind."""

    record_uri: str
    desired: DesiredBody
    acked: AckedBody
    observed: ObservedBody
    conflict: ConflictBody | None
    failing_since: datetime | None = Field(
        description="null while no attempt has failed since the last success"
    )
    first_error: str | None = Field(description="of the failure since when it fails")
    last_error: str | None
    blob_error: str | None
    last_success_at: datetime | None = Field(description="when the PDS last confirmed the record")
    left: list[LeftBody]
    attempts: list[AttemptBody]


class RecordMirrorBody(AnyMirrorBody):
    """One record's mirror; attempts newest first."""

    track_id: int


class LaneBody(BaseModel):
    """How the account's records get to its PDS, and what waits: counted by state and by class of work.

    `next_attempt_at` is when the relay comes to it next, `drains_in` the seconds until all has been delivered, as far as
    the PDS has named as its limits; both are null while the lane waits for a person. While nothing is delivered, also
    since the PDS is away or all that waits is held or rejected, `drains_in` is null and `stalled_by` says why.
    `failing_since`, with the error of the first failure, is null while all is well; `last_success_at` is when the PDS
    last answered a delivery as it should.
    """

    did: str
    host: str | None
    state: str
    reason: str | None
    paused: bool
    next_attempt_at: datetime | None
    failures: int
    failing_since: datetime | None
    first_error: str | None
    last_success_at: datetime | None
    waiting: dict[str, int]
    waiting_by_class: dict[str, int]
    drains_in: float | None
    stalled_by: str | None


def record_mirror(
    connection: sa.Connection, kind: "ShownKind[A]", subject: A, kinds: RecordKinds
) -> AnyMirrorBody:
    did, subject_id = subject.did, subject.subject_id
    mirror = mirrors(connection, did, kind.name, [subject_id])[subject_id]
    found = conflict_of(connection, did, kinds[kind.name], subject_id)
    return body_from(
        kind.mirror,
        mirror,
        **{f"{kind.word}_id": subject_id},
        **kind.beside(connection, subject),
        desired=DesiredBody(op=mirror.desired_op, generation=mirror.generation),
        acked=AckedBody(generation=mirror.acked_generation),
        observed=ObservedBody(cid=mirror.record_cid),
        conflict=found
        and body_from(
            ConflictBody,
            found,
            record_uri=found.key.uri,
            value=found.theirs,
            values=field_conflicts(found, subject),
        ),
        attempts=[
            body_from(AttemptBody, row, record_uri=RecordKey(row.did, row.collection, row.rkey).uri)
            for row in attempts_of(connection, did, kind.name, subject_id, limit=ATTEMPTS)
        ],
    )


def lane_body(connection: sa.Connection, did: str, now: datetime) -> LaneBody:
    """Return an account's lane; before its first track it has none."""
    row = overview.lane_of(connection, did)
    if row is None:
        state = LaneState.AUTH_REQUIRED
        return LaneBody(
            did=did, host=None, state=state, reason=state, paused=False, next_attempt_at=None,
            failures=0, failing_since=None, first_error=None, last_success_at=None,
            waiting={}, waiting_by_class={}, drains_in=0.0, stalled_by=None,
        )  # fmt: skip
    looked_at = row.probe_at if row.state in PROBED else NEVER
    next_at = min(row.live_at, row.backfill_from) if row.mirror_state in overview.AT_WORK else looked_at
    waiting = overview.waiting_in(connection, [did])[did]
    drain = drain_of(connection, did, now).beside(waiting, row.mirror_state)
    return body_from(
        LaneBody,
        row,
        host=row.host or None,
        state=row.state if row.mirror_state not in overview.AT_WORK else row.mirror_state,
        reason=None if row.mirror_state == LaneState.READY else row.mirror_state,
        paused=row.mirror_state == MirrorReason.PAUSED,
        next_attempt_at=max(next_at, now) if next_at < NEVER else None,
        waiting=waiting,
        waiting_by_class=overview.waiting_by_class(connection, did),
        drains_in=drain.seconds,
        stalled_by=drain.stalled_by,
    )


class ConfirmedBody(BaseModel):
    """What the PDS confirmed last: the newest event in it, and its commit. Without a CID there is no record."""

    generation: int
    cid: str | None
    at: datetime | None
    rev: str | None


class PresentBody(BaseModel):
    """What the PDS has: read at this time, up to 5 seconds ago; without a CID there is no record."""

    at: datetime
    cid: str | None
    problem: str | None = Field(description="why the PDS could not be asked; null when it answered")


class AnyComparisonBody(BaseModel):
    """A comparison of a record of any kind."""

    record_uri: str
    state: str
    reason: str | None
    wanted: DesiredBody
    confirmed: ConfirmedBody
    present: PresentBody
    fields: list[FieldVersions]


class ComparisonBody(AnyComparisonBody):
    """What the log wants of a record, what the PDS confirmed last, and what it has now; differing fields are marked."""

    track_id: int


def bodies_of(word: str, **beside: Any) -> tuple[type[AnyMirrorBody], type[AnyComparisonBody]]:
    """Return the bodies of a kind's mirror and comparison, which name its id; `beside` is what its mirror has, too."""
    key: dict[str, Any] = {f"{word}_id": (int, ...)}
    record = f"a {word}'s record"
    mirror = f"The mirror of {record}; attempts newest first."
    comparison = f"What the log wants of {record}, what the PDS confirmed last, and what it has now; differing fields are marked."
    return (
        create_model(f"{word.title()}MirrorBody", __base__=AnyMirrorBody, __doc__=mirror, **key, **beside),
        create_model(f"{word.title()}ComparisonBody", __base__=AnyComparisonBody, __doc__=comparison, **key),
    )


def comparison_body(
    kind: "ShownKind[Any]", subject_id: int, known: KnownRecord, present: PresentRecord
) -> AnyComparisonBody:
    mirror, remote = known.mirror, present.remote
    return body_from(
        kind.comparison,
        mirror,
        **{f"{kind.word}_id": subject_id},
        record_uri=known.key.uri,
        wanted=DesiredBody(op=mirror.desired_op, generation=mirror.generation),
        confirmed=known.confirmed,
        present=body_from(PresentBody, present, cid=remote.cid if remote is not None else None),
        fields=field_versions(known, None if remote is None else remote.body or {}),
    )


@dataclass(frozen=True)
class ShownKind(Generic[A]):
    """A kind of record in the routes that every kind has."""

    aggregate: type[A]
    mirror: type[AnyMirrorBody]
    comparison: type[AnyComparisonBody]
    kept_because: Mapping[str, str] | None = None
    """Why a revert does not set a field back, by the field; None of a kind that has no versions to compare."""
    kept_here: Collection[str] = frozenset()
    """The fields that its owner sets and no record has."""

    @property
    def name(self) -> str:
        return self.aggregate.TOPIC

    @property
    def word(self) -> str:
        """Its name in addresses and bodies."""
        return self.name

    @property
    def called(self) -> str:
        """What people call it."""
        return self.word

    @property
    def plural(self) -> str:
        return f"/{self.word}s"

    @property
    def path(self) -> str:
        return self.route(f"{{{self.word}_id}}")

    def route(self, subject_id: int | str) -> str:
        return f"{self.plural}/{subject_id}"

    @property
    def in_path(self) -> Any:
        """The parameter of the path that is the subject's id."""
        return Path(alias=f"{self.word}_id", description=f"The `id` of a {self.word}.")

    def beside(self, connection: sa.Connection, subject: A) -> Mapping[str, Any]:  # noqa: ARG002
        """Return what its mirror has beside what each has."""
        return {}

    def on(self, subject_id: int, versions: frozenset[int] | None = None) -> On[A]:
        return On(self.aggregate, subject_id, versions)


TRACKS: Final = ShownKind(Track, RecordMirrorBody, ComparisonBody, KEPT_BECAUSE, NOT_IN_RECORD)
