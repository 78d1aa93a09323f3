"""Tells other clients' writes from our own echoes; a message that arrives late or twice changes nothing.

Our writes are recognized by the journal: it has their CID before they are sent, and their revision once they are answered.
A write is old if its revision is not after the last scan, the last marked message, or our newest write to the record.
"""

from typing import Final

import sqlalchemy as sa

from aggregates.published import Subject
from eventstore.streams.buckets import for_account
from outbox.firehose.frames import Commit
from outbox.mirror.states import TargetState
from outbox.mirror.tables import IS_ATTEMPT_OF_TARGET, attempt, mirror_target, repo_scan, target
from outbox.mirror.targets import DELETE, PUT, upsert
from outbox.pds.verdict import Kind

UNDECIDED: Final = frozenset({TargetState.HELD, TargetState.REJECTED})
"""In these the PDS has, or had, another record than the observed one: that it is back is news."""


def foreign_writes(connection: sa.Connection, did: str, commit: Commit) -> list[Subject]:
    """Return the subjects whose records this commit wrote, our own writes excepted."""
    scan = connection.execute(_SCAN, for_account(did, "of_did")).one_or_none()
    if scan is not None and commit.rev <= max(scan.rev or "", scan.heard_rev or ""):
        return []
    found = connection.execute(
        _NEWER, {**for_account(did, "of_did"), "keys": list(commit.writes), "rev": commit.rev}
    )
    suspects = {
        (row.collection, row.rkey): row
        for row in found
        if row.observed_cid != commit.writes[row.collection, row.rkey] or row.state in UNDECIDED
    }
    if not suspects:
        return []
    for sent in connection.execute(_UNANSWERED, {**for_account(did, "of_did"), "keys": list(suspects)}):
        cid = commit.writes[sent.collection, sent.rkey]
        if (sent.op, sent.request_cid) == (PUT if cid is not None else DELETE, cid):
            suspects.pop((sent.collection, sent.rkey), None)  # it may be this one
    return [Subject(row.kind, row.subject_id) for row in suspects.values()]


def record_revision(connection: sa.Connection, did: str, rev: str) -> None:
    """Record that all commits up to this revision are marked."""
    row = {"did": did, "heard_rev": rev}
    upsert(connection, repo_scan, row, tuple(row))


# Built once (CONTRIBUTING.md). Of a record's attempts, of which there may be thousands, they read the newest.

_SCAN: Final = sa.select(repo_scan.c.rev, repo_scan.c.heard_rev).where(
    repo_scan.c.did == sa.bindparam("of_did")
)
_THESE: Final = sa.and_(
    target.did == sa.bindparam("of_did"),
    sa.tuple_(target.collection, target.rkey).in_(sa.bindparam("keys", expanding=True)),
)
_NEWEST_REV: Final = (
    sa.select(attempt.rev)
    .where(IS_ATTEMPT_OF_TARGET, attempt.rev.is_not(None))
    .order_by(attempt.gen.desc(), attempt.id.desc())
    .limit(1)
    .scalar_subquery()
)
_NEWER: Final = sa.select(
    *(target[name] for name in ("collection", "rkey", "kind", "observed_cid", "state")),
    target.subject_id.label("subject_id"),
).where(_THESE, sa.func.coalesce(_NEWEST_REV, "") < sa.bindparam("rev"))
_UNANSWERED: Final = (
    sa.select(attempt.collection, attempt.rkey, attempt.op, attempt.request_cid)
    .join(mirror_target, IS_ATTEMPT_OF_TARGET)
    .where(
        _THESE,
        attempt.gen >= target.acked_gen,
        sa.or_(attempt.outcome.is_(None), attempt.outcome == Kind.AMBIGUOUS.value),
    )
)
