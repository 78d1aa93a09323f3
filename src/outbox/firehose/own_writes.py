"""Tells other clients' writes from our own echoes; a message that arrives late or twice changes nothing.

Our writes are recognized by the journal: it has their CID before they are sent, and their revision once they are answered.
A write is old if its revision is not after the last scan, the last marked message, or our newest write to the record.
"""

from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from outbox.firehose.frames import Commit, Write
from outbox.mirror.states import TargetState
from outbox.mirror.tables import delivery_attempt, mirror_target, repo_scan
from outbox.mirror.targets import DELETE, PUT, upsert
from outbox.pds.verdict import Kind

target: Final = mirror_target.c
attempt: Final = delivery_attempt.c
UNDECIDED: Final = frozenset({TargetState.HELD, TargetState.REJECTED})
"""In these the PDS has, or had, another record than the observed one: that it is back is news."""
UNANSWERED: Final = frozenset({None, Kind.AMBIGUOUS.value})


def foreign_writes(connection: Connection, did: str, commit: Commit) -> list[int]:
    """Return the ids of the tracks whose records this commit wrote, our own writes excepted."""
    scan = connection.execute(_SCAN, {"of_did": did}).one_or_none()
    if scan is not None and commit.rev <= max(scan.rev or "", scan.heard_rev or ""):
        return []
    found = (_track_of(connection, did, commit.rev, write) for write in commit.writes)
    return [track_id for track_id in found if track_id is not None]


def record_revision(connection: Connection, did: str, rev: str) -> None:
    """Record that all commits up to this revision are marked."""
    row = {"did": did, "heard_rev": rev}
    upsert(connection, repo_scan, row, tuple(row))


def _track_of(connection: Connection, did: str, rev: str, write: Write) -> int | None:
    key = {"of_did": did, "of_collection": write.collection, "of_rkey": write.rkey}
    row = connection.execute(_TARGET, key).one_or_none()
    if row is None or (row.observed_cid == write.cid and row.state not in UNDECIDED):
        return None
    attempts = connection.execute(_ATTEMPTS, key).all()
    if any(each.rev is not None and each.rev >= rev for each in attempts):
        return None  # our own write, or an older one
    return None if any(_may_be(each, write) for each in attempts) else row.track_id


def _may_be(row: Any, write: Write) -> bool:
    """Whether this may be our attempt, which is unanswered."""
    op = PUT if write.cid is not None else DELETE
    return row.outcome in UNANSWERED and (row.op, row.request_cid) == (op, write.cid)


# Built once (CONTRIBUTING.md).

_SCAN: Final = select(repo_scan.c.rev, repo_scan.c.heard_rev).where(repo_scan.c.did == bindparam("of_did"))
_TARGET: Final = select(target.track_id, target.observed_cid, target.state).where(
    target.did == bindparam("of_did"),
    target.collection == bindparam("of_collection"),
    target.rkey == bindparam("of_rkey"),
)
_ATTEMPTS: Final = select(attempt.op, attempt.request_cid, attempt.outcome, attempt.rev).where(
    attempt.did == bindparam("of_did"),
    attempt.collection == bindparam("of_collection"),
    attempt.rkey == bindparam("of_rkey"),
)
