"""What other clients do to a record on the PDS, and the verifications that find it."""

from collections import Counter
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from aggregates.published import Published
from aggregates.tracks.track import Track
from outbox.mirror.hosts import PacedPds
from outbox.mirror.requeue import reverify
from outbox.mirror.tables import mirror_target
from outbox.pds.client import RecordKey
from outbox.relay.result import Outcome
from outbox.repo.reads import RepoReads
from replay.reconcile.scan import Scan, Scanned
from tests.dsl import COLLECTION
from tests.fake_pds.signed_in_pds import SignedInPds
from tests.fake_pds.xrpc import RefusedError
from tests.outbox.rigs.relay_rig import Rig


def request_verify(rig: Rig, *ids: int, of: type[Published] = Track) -> None:
    with rig.database.write() as connection:
        reverify(connection, of.subjects(ids or (1,)), rig.database.now(connection))


async def verified(rig: Rig, *ids: int, of: type[Published] = Track) -> Counter[Outcome]:
    request_verify(rig, *ids, of=of)
    return await rig.relay_once()


async def scan(rig: Rig, every: timedelta = timedelta()) -> Scanned:
    reads = RepoReads(PacedPds(rig.wire, rig.wire.http, rig.hosts, can_wait=True))
    return await Scan(rig.database, reads, every=every).run()


def foreign_put(rig: Rig, track: Track, *without: str, **fields: Any) -> dict[str, Any]:
    record = {name: value for name, value in (rig.remote(track) or {}).items() if name not in without}
    rig.pds.put_record(rig.did, COLLECTION, track.rkey, {**record, **fields})
    return rig.remote(track) or {}


def foreign_delete(rig: Rig, track: Track) -> None:
    rig.pds.delete_record(rig.did, COLLECTION, track.rkey)


def target(rig: Rig, track_id: int = 1) -> Any:
    return rig.rows(select(mirror_target).where(mirror_target.c.subject_id == track_id))[0]


def sent(rig: Rig) -> list[str]:
    return [name for name, _ in rig.wire.sent]


def reads(rig: Rig, monkeypatch: pytest.MonkeyPatch, error: RefusedError | None = None) -> list[str]:
    """The record keys that are read from now on; to each the PDS says this error, if any."""
    keys: list[str] = []
    assert isinstance(rig.pds, SignedInPds)
    as_it_is = rig.pds.answer

    def answer(request: httpx.Request, content: bytes) -> httpx.Response:
        if request.url.path.endswith(".getRecord"):
            keys.append(request.url.params["rkey"])
            if error is not None:
                return error.reply()
        return as_it_is(request, content)

    monkeypatch.setattr(rig.pds, "answer", answer)
    return keys


def garble(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The PDS lists no CIDs."""
    assert isinstance(rig.pds, SignedInPds)
    as_it_is = rig.pds.answer

    def answer(request: httpx.Request, content: bytes) -> httpx.Response:
        reply = as_it_is(request, content)
        if not request.url.path.endswith(".listRecords"):
            return reply
        entries = [{**each, "cid": "garbled"} for each in reply.json()["records"]]
        return httpx.Response(200, json={"records": entries})

    monkeypatch.setattr(rig.pds, "answer", answer)


async def delivered(rig: Rig, track_id: int = 1, **fields: Any) -> Track:
    track = rig.upload(track_id, **fields)
    await rig.relay_once()
    rig.wire.sent.clear()
    return track


def take_down(rig: Rig, track: Published) -> None:
    """Take the record down: the PDS does not show it any more."""
    taken_down = rig.pds.get_record(rig.did, track.collection, track.rkey)
    assert taken_down is not None
    subject = {
        "$type": "com.atproto.repo.strongRef",
        "uri": RecordKey(rig.did, track.collection, track.rkey).uri,
        "cid": taken_down["cid"],
    }
    body = {"subject": subject, "takedown": {"applied": True, "ref": "test"}}
    rig.pds.procedure("com.atproto.admin.updateSubjectStatus", body, by="admin")  # type: ignore[union-attr]
    assert rig.pds.get_record(rig.did, COLLECTION, track.rkey) is None
