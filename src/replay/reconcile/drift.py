"""Drift: where a repo on a PDS is not what the log says it should be."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from outbox.mirror.targets import DELETE, PUT
from outbox.pds.client import RecordKey, Remote
from outbox.record.dag_cbor import Record
from outbox.record.record import GENERATION


class DriftKind(StrEnum):
    """What is wrong."""

    MISSING = "missing"  # the record was deleted elsewhere, or lost
    FOREIGN_EDIT = "foreign_edit"  # somebody else wrote it
    STALE = "stale"  # it is an earlier one of ours
    NEWER = "newer"  # ours, but the log has no such generation: it was put back to an earlier point
    UNDELETED = "undeleted"  # the track is deleted, its record is there
    UNKNOWN = "unknown"  # a record of ours that the log knows nothing of
    BLOB_MISSING = "blob_missing"  # the record names a blob that the PDS does not have


@dataclass(frozen=True)
class Expected:
    """What a target says that the PDS holds: the CID of the last acknowledged put, None after a delete.

    `waits` while something is still to be sent; what is there until then is no drift.
    """

    key: RecordKey
    track_id: int
    op: str
    cid: str | None
    waits: bool
    blob: str | None = None
    seen: AbstractSet[str | None] = frozenset()
    """What was found instead, and is in the log already: a CID, or None where it was gone."""


@dataclass(frozen=True)
class Drift:
    """One record that is not as it should be."""

    kind: DriftKind
    key: RecordKey
    track_id: int | None
    expected_cid: str | None
    found_cid: str | None
    is_known: bool = False
    """Whether the log says so already, so that somebody may decide on it."""
    newer: Record | None = None
    """What was found where it is newer than the log."""


def drifts_of(
    expected: Iterable[Expected],
    found: Mapping[str, Remote],
    *,
    ours: AbstractSet[str],
    blobs: AbstractSet[str] | None,
    repo: RecordKey,
    newer: AbstractSet[str] = frozenset(),
) -> Iterator[Drift]:
    """Compare one collection of one repo, `found` by record key; `repo` says which, `ours` are the CIDs we ever sent.

    Without `blobs` it is not asked whether those that records name are there. `newer` are the CIDs of records that name
    a generation which the log does not have.
    """
    known = set()
    for each in expected:
        known.add(each.key.rkey)
        remote = found.get(each.key.rkey)
        if remote is not None and remote.cid != each.cid and remote.cid in newer:
            is_known = remote.cid in each.seen
            yield Drift(DriftKind.NEWER, each.key, each.track_id, each.cid, remote.cid, is_known, remote.body)
            continue
        kind = _kind(each, remote, ours, blobs)
        if kind is not None:
            cid = remote.cid if remote is not None else None
            yield Drift(kind, each.key, each.track_id, each.cid, cid, cid in each.seen)
    for rkey, remote in found.items():
        if rkey not in known and _is_ours(remote, ours):
            yield Drift(DriftKind.UNKNOWN, RecordKey(repo.did, repo.collection, rkey), None, None, remote.cid)


def _kind(
    expected: Expected, remote: Remote | None, ours: AbstractSet[str], blobs: AbstractSet[str] | None
) -> DriftKind | None:
    if expected.waits:
        return None
    if expected.op == DELETE:
        return DriftKind.UNDELETED if remote is not None and _is_ours(remote, ours) else None
    if remote is None:
        return DriftKind.MISSING
    if remote.cid != expected.cid:
        return DriftKind.STALE if remote.cid in ours else DriftKind.FOREIGN_EDIT
    if expected.op == PUT and blobs is not None and expected.blob is not None and expected.blob not in blobs:
        return DriftKind.BLOB_MISSING
    return None


def _is_ours(remote: Remote, ours: AbstractSet[str]) -> bool:
    body: Mapping[str, Any] = remote.body or {}
    return remote.cid in ours or isinstance(body.get(GENERATION), int)
