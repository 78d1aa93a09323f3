"""A replay of an account whose repo has lost its records."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any

from aggregates.published import Subject
from aggregates.tracks.track import Track
from eventstore.change import Envelope
from eventstore.coordination.due_parts import parts_of
from eventstore.event_log import EventLog
from outbox.pds.client import Pds, RecordKey
from outbox.relay.claim import seconds_until_due
from outbox.repo.reads import RepoReads
from replay.reconcile.drift import Drift, DriftKind
from replay.reconcile.outdated import outdated_records
from replay.reconcile.verify import Verifier, repos_of
from replay.repair.plan import Plan, plan_for
from replay.repair.worker import apply_steps
from tests.dsl import COLLECTION
from tests.outbox.rigs.relay_rig import ARTIST, Rig

SEVERAL = 6
OPERATOR = Envelope(actor="operator", via="cli", request_id="r")


async def wiped(desk: Rig, records: int = SEVERAL, **fields: Any) -> list[Track]:
    """An account whose repo has lost its records, which an operator's plan restores."""
    tracks = await lost(desk, records, **fields)
    restore(desk, tracks)
    return tracks


async def delivered(desk: Rig, records: int, **fields: Any) -> list[Track]:
    tracks = [desk.upload(number, **fields) for number in range(1, records + 1)]
    while await desk.relay_once():
        pass
    return tracks


async def lost(desk: Rig, records: int, **fields: Any) -> list[Track]:
    """An account whose repo has lost its records."""
    tracks = await delivered(desk, records, **fields)
    for track in tracks:
        desk.pds.delete_record(desk.did, COLLECTION, track.rkey)
    desk.wire.sent.clear()
    return tracks


async def edited(desk: Rig, records: int = SEVERAL) -> list[Track]:
    """An account whose artist has edited all its records at once."""
    tracks = await delivered(desk, records)
    for track in tracks:
        desk.edit(track.track_id, title="Edited")
    desk.wire.sent.clear()
    return tracks


def restore(desk: Rig, tracks: Sequence[Track]) -> None:
    """An operator's plan restores these records."""
    keys = [(track, RecordKey(desk.did, COLLECTION, track.rkey)) for track in tracks]
    drifts = [
        Drift(DriftKind.MISSING, key, Subject("track", track.track_id), None, None) for track, key in keys
    ]
    apply(desk.log, plan_for(drifts), ARTIST)


async def planned(rig: Rig) -> Plan:
    """A plan for whatever the PDSes hold otherwise than the log, or as it would not be written now."""
    reads, drifts = RepoReads(Pds(rig.wire, rig.wire.http)), list[Drift]()
    verifier = Verifier(rig.database, reads, outdated=partial(outdated_records, rig.log, rig.kinds))
    for repo in repos_of(rig.database):
        drifts += (await verifier.compare(repo)).drifts
    return plan_for(drifts)


def apply(log: EventLog, plan: Plan, by: Envelope) -> None:
    """Apply all of it at once, as the units of repairs do."""
    for did, steps in groupby(plan.steps, lambda step: step.key.did):
        log.transact(did, by, partial(apply_steps, did=did, steps=tuple(steps)))


A_YEAR_SECONDS = 365 * 86400


async def settle_all(desk: Rig) -> None:
    """The relay works until nothing is due, however long pauses last."""
    for _ in range(30):
        await desk.relay_once()
        seconds, _ = seconds_until_due(desk.database, parts_of(desk.database))
        if min(seconds.values()) > A_YEAR_SECONDS:
            return
        desk.clock.advance(minutes=2)


def all_delivered(desk: Rig, tracks: Sequence[Track]) -> bool:
    return all(
        desk.mirror(track.track_id).state == "delivered" and desk.remote(track) is not None
        for track in tracks
    )
