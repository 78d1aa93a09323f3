"""The versions of a track's audio to listen to, two beside each other: for its owner, and for who has the link to them."""

from http import HTTPStatus
from secrets import token_urlsafe
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import HTTPException, Response

from api.requests.parameters import TrackId
from api.routers.tracks.tracks import live_track
from api.routers.tracks.versions import read_versions
from web.ask import ApiDep, FormDep, PublicAsk, or_at
from web.page import pages, to
from web.rendering import RenderDep, artist_address, track_address

router = pages("/@{artist}/{track_id}/versions")
KEY_BYTES: Final = 24


@router.get("", dependencies=[or_at("/tracks/{track_id}/versions")])
async def show_versions(
    *,
    track_id: TrackId,
    ask: PublicAsk,
    render: RenderDep,
    key: str | None = None,
    a: int | None = None,
    b: int | None = None,
) -> Response:
    """Two of the versions: `a` and `b`, or the one before today's and today's."""
    found = await ask(read_versions, track_id, key)
    track = await ask(live_track, track_id)
    versions, key = found["items"], key if found["is_key"] else None
    for each in versions:
        query = {"version": each["version"], **({"key": key} if key else {})}
        each["waveform"] = f"/tracks/{track_id}/waveform?{urlencode(query)}"
    return render(
        "versions.html",
        track=track,
        here=f"{track_address(track)}/versions",
        key=key,
        has_key=found["has_key"],
        is_own=ask.is_by(track["artist_did"]),
        versions=versions,
        pair=[*_chosen(versions, a, 1), *_chosen(versions, b, 0)],
    )


def _chosen(versions: list[dict[str, Any]], version: int | None, place: int) -> list[dict[str, Any]]:
    """Return the version that is asked for, or else the one at this place, if there are so many."""
    return [each for each in versions if each["version"] == version][:1] or versions[place : place + 1]


@router.post("/{do}")
async def act(artist: str, track_id: TrackId, do: str, form: FormDep, api: ApiDep) -> Response:
    """Name today's audio, or make or end the link for others, which is shown once: only its hash is kept."""
    fields: dict[str, str | None] = {"listening_key": token_urlsafe(KEY_BYTES) if do == "link" else None}
    if do == "name":
        fields = {"audio_name": form.get("name", "")}
    elif do not in {"link", "end-link"}:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    await api.send("PATCH", f"/tracks/{track_id}", fields)
    query = f"?key={fields['listening_key']}" if do == "link" else ""
    here = f"{artist_address(artist, artist)}/{track_id}/versions"
    return to(here + query)
