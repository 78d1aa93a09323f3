"""Account deletion, and the export of an account's data."""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, SignedIn, Writer
from api.json_response import response_of
from api.middleware.request_id import over_http
from api.openapi import errors, repeatable_errors
from api.pipeline.concurrency import AccountTurns
from api.pipeline.idempotent_request import Idempotent, result_of
from api.requests.known_names import StrictRoute
from api.responses.account_deletion import HERE, LeavingBody, leaving_body
from api.routers.history import NDJSON
from api.services import Services
from application.account_deletion import leaving_since, request_deletion
from application.errors import NotAuthenticatedError
from replay.dump.export import account_lines

router = APIRouter(tags=["account"], route_class=StrictRoute)
logger: Final = logging.getLogger("mastertape.api")

CHUNK_BYTES: Final = 64 * 1024


@router.delete(HERE, status_code=202, response_model=LeavingBody, responses=repeatable_errors())
async def leave(
    principal: Writer, services: ServicesDep, turns: AccountTurns, request: Idempotent
) -> Response:
    """Remove every record of ours from the PDS, and then the login, the session that asked, and the account.

    All other sessions and all tokens end at once. The one that asked, and one that a later sign-in begins, may follow it (`GET /me`), export,
    repeat it and sign out. It continues in the background until nothing is left, across restarts, outages and sign-outs; a repeated request retries at
    once. Until then nothing can be uploaded or edited. Other artists' bytes stay, and so does the log. Location says where to follow it.
    """
    did, envelope = principal.did, over_http(principal.did)
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            async with turns.of(did):
                request_now = partial(request_deletion, credential_id=principal.credential_id)
                await run_in_threadpool(request_now, services.log, did, envelope)
            services.wake()
            report = await run_in_threadpool(_report, services, did)
            await attempt.finish(result_of(report, 202, Location=HERE))
    return response_of(attempt.result)


@router.get(
    "/me/export",
    response_class=StreamingResponse,
    responses={**errors(401, 503), 200: {"content": {NDJSON: {}}}},
)
def export_own(principal: SignedIn, services: ServicesDep) -> Response:
    """Export everything that is known of the account here, as lines in the format of `mastertape export`.

    Events, attempts, what its PDS was observed to hold, where bytes are stored. The last line is a digest: without it the export is
    incomplete.
    """
    lines = _in_chunks(account_lines(services.database, principal.did, schema=services.schema()))
    name = "mastertape-export.ndjson"
    return StreamingResponse(
        lines, media_type=NDJSON, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def _report(services: Services, did: str) -> LeavingBody:
    with services.database.read() as connection:
        since = leaving_since(connection, did)
        if since is None:
            raise NotAuthenticatedError  # the account is erased already, and the token with it
        return leaving_body(services.database, connection, did, since)


def _in_chunks(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Gather lines into chunks, since each chunk costs a thread hop."""
    chunk = bytearray()
    for line in lines:
        chunk += line
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)
