"""What a PDS holds is compared with the log, and every way in which it may differ has a name."""

import httpx
import pytest

from aggregates.tracks.track import Track
from outbox.pds.client import Pds
from outbox.repo.reads import RepoReads
from outbox.tracks.record import GENERATION
from replay.reconcile.drift import DriftKind
from replay.reconcile.verify import Verifier, repos_of
from tests.dsl import COLLECTION, OLD_COLLECTION
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.namespace_move import moves
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.wire import refused
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


@pytest.fixture(name="track")
async def _track(rig: Rig) -> Track:
    return await delivered(rig)


class Forgetful(httpx.AsyncHTTPTransport):
    """The PDS, but for its blobs: a repo that was moved without them has none."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("listBlobs"):
            return httpx.Response(200, json={"cids": []})
        return await super().handle_async_request(request)


async def verified(rig: Rig, http: httpx.AsyncClient | None = None):
    [repo] = repos_of(rig.database)
    reads = RepoReads(Pds(rig.wire, http or rig.wire.http))
    return await Verifier(rig.database, reads, rig.kinds).compare(repo)


def place(rig: Rig, track: Track) -> tuple[str, str, str]:
    return rig.did, COLLECTION, track.rkey


async def test_a_record_that_is_on_its_way_to_another_collection_is_no_drift(desk):
    desk.upload(1, collection=OLD_COLLECTION)
    await desk.relay_once()
    moves(desk)
    assert (await verified(desk)).drifts == ()
    desk.wire.faults += [lambda send: send(), refused]
    await desk.relay_once()
    found = await verified(desk)
    assert (found.records, found.drifts) == (2, ())
    desk.clock.advance(minutes=10)
    await desk.relay_once()
    found = await verified(desk)
    assert (found.records, found.drifts) == (1, ())


async def test_what_is_as_it_should_be_is_no_drift(desk):
    desk.upload(1)
    desk.upload(2)
    await desk.relay_once()
    desk.command(2, lambda track: track.delete(at=desk.clock()))
    await desk.relay_once()
    found = await verified(desk)
    assert (found.records, found.drifts) == (1, ())


async def test_what_is_still_to_be_sent_is_no_drift(desk):
    await delivered(desk)
    desk.edit(1, title="not yet there")
    desk.upload(2)
    assert (await verified(desk)).drifts == ()


@pytest.mark.pds
async def test_a_record_that_was_written_elsewhere_is_a_foreign_edit(rig, track):
    rig.pds.put_record(*place(rig, track), {**rig.remote(track), "title": "theirs"})
    [drift] = (await verified(rig)).drifts
    assert drift.kind is DriftKind.FOREIGN_EDIT
    assert drift.found_cid == rig.pds.get_record(*place(rig, track))["cid"]
    assert drift.expected_cid == rig.mirror().record_cid


@pytest.mark.pds
async def test_a_record_of_ours_without_a_track_is_unknown_and_others_are_none_of_ours(rig, track):
    record = rig.remote(track)
    rig.pds.put_record(rig.did, COLLECTION, "3kunknown2222", record)
    other = {name: value for name, value in record.items() if name != GENERATION}
    rig.pds.put_record(rig.did, COLLECTION, "3kother222222", {**other, "title": "of another client"})
    [drift] = (await verified(rig)).drifts
    assert (drift.kind, drift.key.rkey, drift.track_id) == (DriftKind.UNKNOWN, "3kunknown2222", None)


@pytest.mark.pds
async def test_a_blob_that_the_pds_has_lost_is_missing(rig, track):
    rig.command(1, lambda track: track.request_blob_migration(at=rig.clock()))
    await rig.relay_once()
    await rig.relay_once()
    assert rig.remote(track)["audioBlob"]
    assert (await verified(rig)).drifts == ()
    async with httpx.AsyncClient(transport=Forgetful()) as http:
        [drift] = (await verified(rig, http)).drifts
    assert (drift.kind, drift.track_id) == (DriftKind.BLOB_MISSING, 1)
