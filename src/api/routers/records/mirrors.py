"""The mirror of a record or an account: how far its PDS agrees with the log."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from aggregates.errors import InvalidFieldError
from aggregates.published import Subject
from api.auth.authentication import ServicesDep, SignedIn
from api.errors import MissingPartError
from api.json_response import result_of
from api.middleware.request_threads import in_thread
from api.openapi import errors, operation
from api.pipeline.command_request import Command
from api.requests.body import fields_as
from api.requests.fields import Structured
from api.requests.parameters import Id, OneOf, StrictRoute
from api.responses.mirror import (
    AnyComparisonBody,
    AnyMirrorBody,
    LaneBody,
    ShownKind,
    comparison_body,
    lane_body,
    record_mirror,
)
from api.responses.reader import SubjectReader
from api.services import Services
from application.records import BY_FIELD, Decision, Resolution, resolve, retry_mirror
from application.subjects import A, load_owned, require_owned, require_reader
from eventstore.idempotency import CommandResult
from identity.accounts.credentials import Principal
from outbox.repo.reads import PresentRecord
from outbox.views.comparison import KnownRecord, known_record

router = APIRouter(tags=["mirror"], route_class=StrictRoute)


Side = Annotated[str, OneOf(tuple(Resolution))]


class ResolveFields(BaseModel):
    keep: Side | None = Field(None, description="whose version stays: the log's, or that of the other client")
    fields: Annotated[dict[str, Side] | None, Structured] = Field(
        None,
        description='instead of `keep`: a side for each of `conflict.fields`, such as `{"title": "theirs"}`',
    )
    cid: str | None = Field(
        None,
        description="`conflict.cid` as it was read; 409 `edited_again` if they have changed the record since",
    )


def mirror_routes(kind: ShownKind[A]) -> APIRouter:
    router = APIRouter(prefix=f"{kind.path}/mirror", tags=["mirror"], route_class=StrictRoute)

    def show(reader: SubjectReader, subject: Subject) -> CommandResult:
        on = kind.on(subject.id)
        found = require_owned(reader.services.log, reader.connection, reader.did, on, deleted_too=True)
        return result_of(record_mirror(reader.connection, kind, found, reader.services.kinds))

    @router.get("", response_model=kind.mirror, responses=errors(403), name="read_mirror")
    def read(
        principal: SignedIn, services: ServicesDep, subject_id: Annotated[Id, kind.in_path]
    ) -> AnyMirrorBody:
        """Read what the log wants, what the PDS confirmed and what was tried."""
        return read_mirror(principal, services, kind, subject_id)

    @router.get("/compare", response_model=kind.comparison, responses=errors(403), name="compare_record")
    async def compare(
        principal: SignedIn, services: ServicesDep, subject_id: Annotated[Id, kind.in_path]
    ) -> AnyComparisonBody:
        """Compare what the log wants, what the PDS confirmed last and what it has now, field by field.

        The PDS is asked once in 5 seconds, and only while it may be sent requests; `present.problem` says why it was not.
        """
        return await compare_record(principal, services, kind, subject_id)

    @router.post("/retry", response_model=kind.mirror)
    async def retry(subject_id: Annotated[Id, kind.in_path], request: Command) -> Response:
        """Retry at once, also a rejected record and a lane that backs off."""
        on = kind.on(subject_id, request.versions)
        return await request.answer(lambda unit: retry_mirror(unit, on), show, on=on, allow_deleted=True)

    @router.post("/resolve", **operation(ResolveFields, kind.mirror, ()))
    async def resolve_conflict(subject_id: Annotated[Id, kind.in_path], request: Command) -> Response:
        """Resolve a record that was edited elsewhere: `ours` is written again, or the fields of `theirs` that a track has are adopted.

        With `fields`, each differing field is decided by itself, and one record has the result. Unknown fields stay, unless
        nothing differs and `fields` says `ours` of them.
        """
        on, records = kind.on(subject_id, request.versions), request.services.kinds[kind.name]
        async with request.begin(on=on) as attempt:
            if not attempt.is_repetition:
                wanted = fields_as(ResolveFields, attempt.body)
                there = None
                if set(wanted.fields or ()) - records.own_fields:
                    there = (await _read(request.principal, request.services, kind, subject_id))[1].remote
                decision = Decision(_kept(wanted), wanted.cid, there)
                await attempt.commit(
                    lambda unit: resolve(unit, load_owned(unit, on), records, decision), show
                )
        return await attempt.response()

    return router


def read_mirror(
    principal: Principal, services: Services, kind: ShownKind[A], subject_id: int
) -> AnyMirrorBody:
    with services.database.read() as connection:
        subject = require_reader(services.log, connection, principal, kind.on(subject_id))
        return record_mirror(connection, kind, subject, services.kinds)


async def compare_record(
    principal: Principal, services: Services, kind: ShownKind[A], subject_id: int
) -> AnyComparisonBody:
    return comparison_body(kind, subject_id, *await _read(principal, services, kind, subject_id))


async def _read(
    principal: Principal, services: Services, kind: ShownKind[A], subject_id: int
) -> tuple[KnownRecord, PresentRecord]:
    def read() -> KnownRecord:
        with services.database.read() as connection:
            subject = require_reader(services.log, connection, principal, kind.on(subject_id))
            return known_record(connection, subject, services.kinds)

    known = await in_thread(read)
    return known, await services.record_reads.read(known.host, known.key, known.confirmed.cid)


def _kept(wanted: ResolveFields) -> Resolution | dict[str, Resolution]:
    if wanted.fields is not None and wanted.keep is not None:
        raise InvalidFieldError(BY_FIELD, "must not come with `keep`")
    if wanted.fields is not None:
        return {name: Resolution(side) for name, side in wanted.fields.items()}
    if wanted.keep is None:
        raise MissingPartError("keep")
    return Resolution(wanted.keep)


@router.get("/me/mirror")
def read_lane(principal: SignedIn, services: ServicesDep) -> LaneBody:
    """Read whether the account's records reach its PDS, and how many wait in which state."""
    with services.database.read() as connection:
        return lane_body(connection, principal.did, services.database.now(connection))
