"""Uploads for the peer's clients: the track is made before the answer, so that its progress stream has one event."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, Response

from aggregates.errors import InvalidFieldError
from api.auth.authentication import OptionalCaller, ServicesDep
from api.openapi import FILE, TEXT, TRACK_FIELDS, multipart
from api.pipeline.command_request import Command, CommandRequest
from api.plyr.albums import album_titled
from api.plyr.publishing_fields import PUBLISHING, VISIBILITY, access_of
from api.plyr.reading import ROUTER, PeerTrackId, track_behind
from api.plyr.results import PlyrResults, completed
from api.plyr.track import TrackResponse, track_responses
from api.requests.body import NONE, Body
from api.requests.parameters import NO_TRACK
from api.routers.track_writes import answer_replacement, answer_upload, upload_command
from api.services import Services
from application.authorization import may_see_track
from application.tracks.register import RegisterTrack
from eventstore.untrusted import whole_number
from identity.accounts.credentials import Principal
from projections.tracks.queries import track_by_id

router: Final = APIRouter(**ROUTER)

OWN_FIELDS: Final = frozenset(TRACK_FIELDS) - {"downloads"}
NOT_HELD: Final[Mapping[str, str]] = {
    "copyright": "this service keeps no rights",
    "auto_tag": "this service tags nothing by itself",
}
UPLOAD_FIELDS: Final[dict[str, Any]] = {
    **{name: TRACK_FIELDS[name] for name in OWN_FIELDS},
    **dict.fromkeys(("album_id", *NOT_HELD), TEXT),
    **VISIBILITY,
    **PUBLISHING,
}
UPLOAD_BODY: Final = multipart(["file", "title"], file=FILE, **UPLOAD_FIELDS, image=FILE)


@router.post("/tracks", openapi_extra=UPLOAD_BODY)
@router.post("/tracks/", openapi_extra=UPLOAD_BODY)
async def upload(request: Command) -> Response:
    """Upload a track."""
    results = PlyrResults(request.services.urls, request.principal)
    return await answer_upload(request, _upload_command, results.uploaded)


@router.put("/tracks/{track_id}/audio", openapi_extra=multipart(["file"], file=FILE))
async def replace_file(track_id: PeerTrackId, request: Command) -> Response:
    """Replace the audio; the displaced audio becomes a revision."""
    results = PlyrResults(request.services.urls, request.principal)
    return await answer_replacement(track_id, request, results.uploaded)


@router.get("/tracks/uploads/{upload_id}/progress")
def follow_upload(upload_id: str, caller: OptionalCaller, services: ServicesDep) -> Response:
    """Tell, as one server-sent event, that the upload is complete, or that there was none."""
    track = _uploaded(services, caller, upload_id)
    event = completed(track) if track is not None else _unknown(upload_id)
    return Response(f"data: {json.dumps(event)}\n\n", media_type="text/event-stream")


async def _upload_command(request: CommandRequest, body: Body) -> RegisterTrack:
    """Check first what is refused because a track cannot hold it."""
    for field, why in NOT_HELD.items():
        if body.fields.get(field) not in (*NONE, "null", "false"):
            raise InvalidFieldError(field, f"must not be sent: {why}")
    access = access_of(body)
    fields = {name: value for name, value in body.fields.items() if name in OWN_FIELDS}
    if album_id := body.text("album_id"):
        if fields.get("album"):
            raise InvalidFieldError("album_id", "album and album_id are mutually exclusive")
        fields["album"] = await _album(request, album_id)
    command = await upload_command(request, replace(body, fields=fields))
    return command if access is None else replace(command, **vars(access))


async def _album(request: CommandRequest, album_id: str) -> str:
    services = request.services
    title = await services.threads.run(album_titled, services.database, request.principal.did, album_id)
    if title is None:
        raise InvalidFieldError("album_id", "must be the id of an album of yours")
    return title


def _uploaded(services: Services, caller: Principal | None, upload_id: str) -> TrackResponse | None:
    """Find the track, if the caller may know of it."""
    track_id = track_behind(whole_number(upload_id) or NO_TRACK, services)
    with services.database.read() as connection:
        view = track_by_id(connection, track_id)
        if (
            view is None
            or view.deleted_at is not None
            or not may_see_track(caller, view.did, view.taken_down_at)
        ):
            return None
        return track_responses(connection, [view], services.urls, caller)[0]


def _unknown(upload_id: str) -> dict[str, Any]:
    return {
        "upload_id": upload_id,
        "status": "failed",
        "message": "upload job not found",
        "error": "job lost",
    }
