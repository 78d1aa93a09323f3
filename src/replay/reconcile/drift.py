"""Drift: how a repo on a PDS differs from what the log says."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from aggregates.published import Subject
from aggregates.states import State
from aggregates.tracks.track import Track
from outbox.mirror.targets import DELETE, PUT
from outbox.pds.client import RecordKey
from outbox.pds.verdict import CREATE_POINTS, DELETE_POINTS, PUT_POINTS
from outbox.repo.reads import Found


class DriftKind(State):
    """How a record differs."""

    MISSING = "missing", "the record was deleted elsewhere, or lost"
    FOREIGN_EDIT = "foreign_edit", "another client wrote it"
    STALE = "stale", "it is an earlier one of ours"
    NEWER = (
        "newer",
        "ours, of a generation that the log does not have: it was restored to an earlier point",
    )
    UNDELETED = "undeleted", "it was deleted here, and its record is there"
    UNKNOWN = "unknown", "a record of ours that nothing here has"
    OUTDATED = (
        "outdated",
        "as we wrote it, and it would be written otherwise now: an address or the mapping has changed",
    )
    BEHIND = "behind", "a list that refers to earlier records of its tracks for longer than it may"
    BLOB_MISSING = "blob_missing", "the record names a blob that the PDS does not have"
    WITHDRAWN = "withdrawn", "the change that waits for its owner's decision was taken back"


class Repair(State):
    """What is done about a drift."""

    RESTORE = "restore", "the record is written again, by an event"
    REWRITE = (
        "rewrite",
        "the newest state replaces an earlier record of ours, or one with earlier addresses",
    )
    REFRESH = "refresh", "the list refers to the newest records, by an event"
    DELETE = "delete", "our record of what was deleted is deleted again"
    REVERIFY = "look", "the relay reads it again, and holds or releases it"
    NOTHING = "nothing", "it stays as it is: nothing here says what it should be"


REPAIRS: Final = {
    DriftKind.MISSING: (Repair.RESTORE, CREATE_POINTS),
    DriftKind.BLOB_MISSING: (Repair.RESTORE, PUT_POINTS),
    DriftKind.STALE: (Repair.REWRITE, PUT_POINTS),
    DriftKind.OUTDATED: (Repair.REWRITE, PUT_POINTS),
    DriftKind.BEHIND: (Repair.REFRESH, PUT_POINTS),
    DriftKind.UNDELETED: (Repair.DELETE, DELETE_POINTS),
    DriftKind.FOREIGN_EDIT: (Repair.REVERIFY, 0),
    DriftKind.NEWER: (Repair.REVERIFY, 0),
    DriftKind.WITHDRAWN: (Repair.REVERIFY, 0),
    DriftKind.UNKNOWN: (Repair.NOTHING, 0),
}
"""And the rate-limit points that it costs. A kind whose repair changes needs another name: stored plans name the kind alone."""


@dataclass(frozen=True)
class Expected:
    """What the PDS should hold by a target: the CID of the last acknowledged put, None after a delete.

    While `waits`, something is still to be sent, and no difference is drift.
    """

    key: RecordKey
    subject: Subject
    op: str
    cid: str | None
    waits: bool
    blob: str | None = None
    outdated: DriftKind | None = None
    """How the record that was written differs from what would be written now."""
    seen: AbstractSet[str | None] = frozenset()
    """Differences that the log has recorded already: a CID found instead, or None for a missing record."""
    generation: int = 0
    """The desired one."""
    undecided_unless: AbstractSet[str | None] = frozenset()
    """While the owner has to decide about the record: the CIDs that leave nothing to decide, None for an absent record."""
    is_left: bool = False
    """Whether we never wrote it: it was adopted, and stays although its account was deleted here."""


@dataclass(frozen=True)
class Drift:
    kind: DriftKind
    key: RecordKey
    subject: Subject | None
    expected_cid: str | None
    found_cid: str | None
    is_known: bool = False
    """Whether the log has recorded it already, for the owner to decide."""
    newer: bytes | None = None
    """The JSON of the record that was found, if it is newer than the log, and one of the first MAX_KEPT_BYTES."""
    generation: int = 0
    """The desired one of the record's target; 0 where there is none."""

    @property
    def repair(self) -> Repair:
        return REPAIRS[self.kind][0]

    @property
    def points(self) -> int:
        return REPAIRS[self.kind][1]

    @property
    def track_id(self) -> int | None:
        is_track = self.subject is not None and self.subject.kind == Track.TOPIC
        return self.subject.id if self.subject is not None and is_track else None


def drifts_of(
    expected: Iterable[Expected],
    found: Mapping[RecordKey, Found],
    *,
    ours: AbstractSet[str],
    blobs: AbstractSet[str] | None,
    newer: AbstractSet[str] = frozenset(),
) -> Iterator[Drift]:
    """Compare what is expected with the records `found` in the same collections.

    `ours` are the CIDs of all records ever sent, `newer` those of records of a generation that the log does not have.
    Without `blobs`, the CIDs that the PDS holds, missing blobs are not detected.
    """
    known = set()
    for each in expected:
        known.add(each.key)
        remote = found.get(each.key)
        cid = remote.cid if remote is not None else None
        json = None
        if remote is not None and cid != each.cid and cid in newer:
            kind, json = DriftKind.NEWER, remote.json
        elif (remote is None or cid is not None) and cid in each.undecided_unless:
            kind = DriftKind.WITHDRAWN
        elif (unwanted := _kind(each, remote, ours, blobs)) is not None:
            kind = unwanted
        else:
            continue
        yield Drift(kind, each.key, each.subject, each.cid, cid, cid in each.seen, json, each.generation)
    for key, remote in found.items():
        if key not in known and _is_ours(remote, ours):
            yield Drift(DriftKind.UNKNOWN, key, None, None, remote.cid)


def _kind(
    expected: Expected, remote: Found | None, ours: AbstractSet[str], blobs: AbstractSet[str] | None
) -> DriftKind | None:
    if expected.waits or (remote is not None and remote.cid is None):
        return None
    if expected.op == DELETE:
        return DriftKind.UNDELETED if remote is not None and _is_ours(remote, ours) else None
    if remote is None:
        return DriftKind.MISSING
    if remote.cid != expected.cid:
        return DriftKind.STALE if remote.cid in ours else DriftKind.FOREIGN_EDIT
    if expected.op == PUT and blobs is not None and expected.blob is not None and expected.blob not in blobs:
        return DriftKind.BLOB_MISSING
    return expected.outdated


def _is_ours(remote: Found, ours: AbstractSet[str]) -> bool:
    return remote.cid in ours or remote.generation is not None
