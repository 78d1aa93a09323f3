"""Commands on the record for the peer's page, which takes every 2xx for done."""

from typing import Final

from fastapi import APIRouter, Response

from api.auth.authentication import ServicesDep, SignedIn
from api.json_response import AsciiJsonResponse
from api.pipeline.command_request import Command
from api.pipeline.media_reads import Reads
from api.plyr.reading import ROUTER, PeerTrackId
from api.plyr.results import PlyrResults
from api.routers.records import answer_copy, answer_restore
from projections.tracks.queries import count_in_collection

router: Final = APIRouter(**ROUTER)


@router.post("/tracks/{track_id}/restore-record")
async def restore(track_id: PeerTrackId, request: Command) -> Response:
    """Bring back a record that was deleted elsewhere; without a login at the PDS nothing is recorded."""
    return await answer_restore(
        track_id, request, PlyrResults(request.services.urls, request.principal).restored
    )


@router.post("/tracks/{track_id}/migrate-to-pds")
async def migrate(track_id: PeerTrackId, request: Command, reads: Reads) -> Response:
    """Copy the audio to the PDS; without a login there nothing is recorded."""
    results = PlyrResults(request.services.urls, request.principal)
    return await answer_copy(track_id, request, reads, results.copied)


@router.get("/migration/check")
def check(principal: SignedIn, services: ServicesDep) -> Response:
    """Count the records that are still in the old collection."""
    with services.database.read() as connection:
        count = count_in_collection(connection, principal.did, services.old_collection)
    return AsciiJsonResponse(
        {
            "needs_migration": count > 0,
            "old_record_count": count,
            "old_collection": services.old_collection,
            "new_collection": services.collection,
            "did": principal.did,
        }
    )
