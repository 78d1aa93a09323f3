"""All audio that a track has and had, to compare: for its owner, operators, and those to whom the owner has given the key."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from aggregates.tracks.track import Track
from aggregates.values import Audio
from api.auth.authentication import Authenticated, OptionalCaller, ServicesDep
from api.json_response import body_from
from api.openapi import errors
from api.pipeline.media_request import ForMedia
from api.pipeline.past import OF_KEY, Listening, require_listener
from api.requests.parameters import StrictRoute, TrackId
from application.authorization import may_have_bytes
from application.errors import MediaNotFoundError
from application.subjects import On
from application.tracks.revert import audio_revisions, kept_audio
from identity.accounts.credentials import Principal
from projections.tracks.table import TrackView


async def signed_in_or_with_key(request: Request, found: Authenticated) -> None:
    """Refuse a request with neither a key nor a sign-in that works."""
    if not isinstance(found, Principal) and "key" not in request.query_params:
        raise found


router = APIRouter(tags=["tracks"], route_class=StrictRoute, dependencies=[Depends(signed_in_or_with_key)])
Key = Annotated[str | None, Query(description=OF_KEY)]


@router.head("/tracks/{track_id}/audio", include_in_schema=False)
@router.get(
    "/tracks/{track_id}/audio",
    responses=errors(401, 403, 416),
    response_class=Response,
)
async def audio_of_track(
    track_id: TrackId, wanted: Annotated[Listening, Query()], request: ForMedia
) -> Response:
    """Play the audio that the track has, or had, for its owner, operators and who has its `listening_key`, as long as it is kept."""
    return await request.play_past(track_id, wanted)


class AudioVersionBody(BaseModel):
    """Audio that the track has, or had until `replaced_at`."""

    version: int = Field(description="the newest version of the track with it")
    name: str | None
    replaced_at: datetime | None
    file_type: str
    duration: int | None
    size: int = Field(description="in bytes")
    audio_url: str
    audio_kept: bool = Field(description="whether it can still be played")
    audio_kept_until: datetime | None = Field(
        description="until when it is kept at least, once it was replaced"
    )


class VersionsBody(BaseModel):
    """The audio that the track has, and before it what was replaced, newest first: at most 10, each once."""

    items: list[AudioVersionBody]
    has_key: bool = Field(description="whether others than the owner may listen with a key")
    is_key: bool = Field(description="whether the `key` of the request is that one")


@router.get("/tracks/{track_id}/versions", responses=errors(401, 403))
def read_versions(
    caller: OptionalCaller, services: ServicesDep, track_id: TrackId, key: Key = None
) -> VersionsBody:
    """List all audio that the track has and had, for its owner, operators and who has its `listening_key`."""
    with services.database.read() as connection:
        now = require_listener(services, connection, On(Track, track_id), caller, key)
        if not may_have_bytes(caller, TrackView.of(now)):
            raise MediaNotFoundError
        is_key = key is not None and now.opens_with(key)

        def item(version: int, audio: Audio, replaced_at: datetime | None) -> AudioVersionBody:
            kept = kept_audio(connection, audio.cid, services.sweep_grace)
            query = f"version={version}" + (f"&key={key}" if is_key else "")
            return body_from(
                AudioVersionBody,
                audio,
                version=version,
                name=(now.audio_names or {}).get(audio.cid),
                replaced_at=replaced_at,
                audio_url=f"{services.base_url}/tracks/{track_id}/audio?{query}",
                audio_kept=kept.is_kept,
                audio_kept_until=kept.until,
            )

        earlier = audio_revisions(services.log, connection, now)
        items = [item(each.version, each.audio, each.replaced_at) for each in earlier]
        return VersionsBody(
            items=[item(now.version, now.audio, None), *items],
            has_key=now.listening_key_hash is not None,
            is_key=is_key,
        )
