"""What the record on the PDS means: after InvalidSwap, before a delete whose base is not known, or when it was looked at.

Our own writes are known by the CIDs of the attempts, written down before they were sent, or by generation
and content; so a crash between the PDS's answer and our note of it never looks like somebody else's edit.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any

from aggregates.track import Track
from outbox.mirror.targets import DELETE
from outbox.pds.client import Remote
from outbox.record.dag_cbor import Record
from outbox.record.record import GENERATION, RecordUrls, merged, own_part, record_for
from outbox.relay.delivery_task import Work


class Finding(Enum):
    """What was found."""

    LANDED = "the PDS has what was to be sent"
    REBASE = "it is ours, or differs only in fields that are not: write on top of it"
    MISSING = "it was deleted elsewhere"
    FOREIGN = "somebody changed our fields"
    AGREES = "it is as it was left, or not ours to change"


def read_back(work: Work, remote: Remote, ours: AbstractSet[str], urls: RecordUrls) -> Finding:
    """Compare the record on the PDS with what we know; docs/architecture.md has the table."""
    if remote.cid == work.request_cid:
        return Finding.LANDED
    if remote.cid is None or remote.body is None:
        return Finding.REBASE if work.base is None or work.recreates else Finding.MISSING
    is_known = (
        (work.op == DELETE and work.successor is None)
        or remote.cid in ours
        or _was_taken_over(work, remote)
        or _is_ours(work, remote.body, urls)
        or (work.observed is not None and own_part(remote.body) == own_part(work.observed))
    )
    if is_known and work.successor is not None and remote.cid not in ours:
        # Who moves a record does not wish for the end of what others have written in it since.
        is_known = merged({}, remote.body) == merged({}, work.observed)
    return Finding.REBASE if is_known else Finding.FOREIGN


def look(work: Work, remote: Remote, ours: AbstractSet[str], urls: RecordUrls) -> Finding:
    """Compare the record with what it was left as, where nothing is to be sent."""
    if work.detached:
        return Finding.AGREES
    if work.op == DELETE:
        was_taken_back = work.conflict is not None and remote.cid in {None, work.base}
        came_late = remote.body is not None and (remote.cid in ours or _is_ours(work, remote.body, urls))
        return Finding.REBASE if came_late or was_taken_back else Finding.AGREES
    if remote.cid is None:
        return Finding.MISSING
    if work.conflict is not None and remote.cid == work.base:
        return Finding.REBASE  # the foreign edit was taken back
    if remote.cid in {work.base, work.conflict}:
        return Finding.AGREES
    return read_back(work, remote, ours, urls)


def _was_taken_over(work: Work, remote: Remote) -> bool:
    """Whether it is the record that the track began with, where nothing else is known of what the PDS holds."""
    first = work.history[0].event if work.history else None
    return work.base is None and isinstance(first, Track.Adopted) and first.cid == remote.cid


def _is_ours(work: Work, body: Mapping[str, Any], urls: RecordUrls) -> bool:
    """Whether the body is what the log said at the generation that it names."""
    gen = body.get(GENERATION)
    if not isinstance(gen, int):
        return False
    track: Any = None
    for recorded in work.history:
        if recorded.position > gen:
            break
        track = recorded.event.mutate(track)
    if not isinstance(track, Track) or track.deleted_at is not None:
        return False
    expected: Record = record_for(track, gen, urls)
    return own_part(body) == own_part(expected)
