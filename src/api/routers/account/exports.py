"""An account's export with its audio and covers, as a ZIP archive that is made as it is sent."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, SignedIn, Writer
from api.json_response import body_from, response_of, result_of
from api.middleware.http_layer import over_http
from api.middleware.request_threads import in_thread
from api.openapi import errors
from api.pipeline.idempotent_request import Idempotent
from api.pipeline.media_request import PRIVATE, CallerReads, File, Reads, attachment
from api.requests.parameters import Id, StrictRoute
from api.services import Services
from application.account import request_export
from application.errors import MediaNotFoundError
from eventstore.jobs.table import JobState
from identity.accounts.credentials import Principal
from identity.errors import CredentialExpiredError
from replay.exports import EXPORT_TTL, Export, export_of, finished_export
from storage.archive import Part, within
from storage.taken_down import taken_down

router = APIRouter(tags=["account"], route_class=StrictRoute)

HERE: Final = "/me/exports"
MAX_MISSING: Final = 100
ExportId = Annotated[Id, Path(description="The `id` of an export.")]


class MissingBody(BaseModel):
    """A file that is not in the archive, by the name that it would have there."""

    name: str
    reason: str


class ExportBody(BaseModel):
    """An export: of its `files` so many are `read`, and some are `missing`, of which up to 100 are listed."""

    state: str = Field(description="idle, waiting, running, done or failed")
    requested_at: datetime | None
    expires_at: datetime | None = Field(description="until then it is kept, unless another one replaces it")
    problem: str | None
    files: int
    read: int
    size: int | None = Field(description="bytes of the archive")
    url: str | None = Field(description="where the archive is, once it is done")
    missing: list[MissingBody]


NONE: Final = ExportBody(
    state=JobState.IDLE, requested_at=None, expires_at=None, problem=None,
    files=0, read=0, size=None, url=None, missing=[],
)  # fmt: skip


@router.post(HERE, status_code=202, response_model=ExportBody)
async def make_export(principal: Writer, services: ServicesDep, request: Idempotent) -> Response:
    """Make a ZIP archive of all audio, covers and data.

    The data are what `GET /me/export` has. It has checksums (`SHA256SUMS`), and is made in the background, one of an account at a time, and takes the place of the one before. Location says where to follow it.
    """
    did = principal.did
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            await attempt.run(request_export, services.log, did, over_http(did))
            services.wake()
            made = await run_in_threadpool(read_exports, principal, services)
            await attempt.finish(result_of(made, 202, Location=HERE))
    return response_of(attempt.result)


@router.get(HERE)
def read_exports(principal: SignedIn, services: ServicesDep) -> ExportBody:
    """Read how far the archive is, and what it leaves out, and why."""
    with services.database.read() as connection:
        found = export_of(connection, principal.did)
    if found is None:
        return NONE
    is_done, ended_at = found.state is JobState.DONE, found.job.ended_at
    missing = [each for each in found.files if each.missing is not None]
    return body_from(
        ExportBody,
        found,
        requested_at=found.job.requested_at,
        expires_at=ended_at and ended_at + EXPORT_TTL,
        problem=found.job.problem,
        files=len(found.files),
        read=sum(each.crc32 is not None for each in found.files),
        size=sum(map(len, found.parts)) if is_done else None,
        url=f"{HERE}/{found.id}.zip" if is_done else None,
        missing=[MissingBody(name=each.name, reason=each.missing) for each in missing[:MAX_MISSING]],
    )


@dataclass(frozen=True)
class ArchiveReads:
    """Reads parts of an archive for as long as the token is usable and nothing of it is taken down."""

    services: Services
    principal: Principal
    reads: CallerReads
    parts: Sequence[Part]

    async def chunks(self, start: int, end: int) -> AsyncGenerator[bytes]:
        """Read the first chunk now, so that missing bytes are an error and no broken stream."""
        chunks = self._chunks(start, end)
        first = await anext(chunks)

        async def all_chunks() -> AsyncGenerator[bytes]:
            yield first
            async for chunk in chunks:
                yield chunk

        return all_chunks()

    async def _chunks(self, start: int, end: int) -> AsyncGenerator[bytes]:
        for part, first, last in within(self.parts, start, end):
            if isinstance(part, bytes):
                yield part[first:last]
                continue
            key = await run_in_threadpool(self._key, part.cid)
            is_refused = partial(self._has_other_key, key, part.cid)
            async for chunk in await self.reads.stream(key, first, last, is_refused):
                yield chunk

    def _has_other_key(self, key: str, cid: str) -> bool:
        return self._key(cid) != key

    def _key(self, cid: str) -> str:
        with self.services.database.read() as connection:
            token = {"did": self.principal.did, "credential_id": self.principal.credential_id}
            if not self.services.credentials.is_usable(connection, **token):
                raise CredentialExpiredError
            found = None if taken_down(connection, [cid]) else self.services.media.find(cid)
        if found is None:
            raise MediaNotFoundError
        return str(found.key)


@router.head(HERE + "/{export_id}.zip", include_in_schema=False)
@router.get(HERE + "/{export_id}.zip", responses=errors(409, 416, 429, 503), response_class=Response)
async def download_export(
    export_id: ExportId, request: Request, principal: SignedIn, services: ServicesDep, reads: Reads
) -> Response:
    """Download the archive, whole or in ranges.

    A download that broke off goes on where it was. The archive has the bytes of when it was made, whatever was edited or deleted since, but nothing that an operator has taken down.
    """

    def found() -> tuple[Export, str, list[Part]]:
        with services.database.read() as connection:
            export = finished_export(connection, principal.did, export_id)
        return export, f'"{export.entries[0].cid}"', export.parts

    export, etag, parts = await in_thread(found)
    archive = File(etag, sum(map(len, parts)), "application/zip", PRIVATE)
    source = ArchiveReads(services, principal, reads, parts)
    response = await archive.answer(request, reads.caller, source.chunks)
    name = f"{principal.handle} {export.job.requested_at:%Y-%m-%d}.zip"
    response.headers["Content-Disposition"] = attachment(name)
    return response
