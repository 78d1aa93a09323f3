"""The page of a public track."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from api.requests.path_params import number_of
from web.addresses import artist_address, track_address
from web.api_client import Api, ApiDep
from web.page_route import PageRoute
from web.rendering import RenderDep
from web.viewer import Viewer, ViewerDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)

REFUSALS: Final = {
    HTTPStatus.UNAUTHORIZED: HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.PAYMENT_REQUIRED: HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.SERVICE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The status of the page of a gated track, by what the API answers to the one who wants to hear it."""


@router.get("/@{artist}/{track_id}")
async def show_track(
    artist: str, track_id: str, api: ApiDep, render: RenderDep, viewer: ViewerDep
) -> Response:
    """A track, with its player where the viewer may hear it; another artist in the address leads to the right one."""
    if number_of(track_id) is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    track = await api.read(f"/tracks/{track_id}")
    address = track_address(track)
    if address != f"{artist_address(artist, artist)}/{track_id}":
        return RedirectResponse(address, HTTPStatus.FOUND)
    here = await _artists(api, track)
    status, refusal = await _refusal(api, track)
    plays = refusal is None and track["taken_down_at"] is None
    return render(
        "track.html",
        status,
        track=track,
        artist=here.get(track["artist_did"]),
        here=here,
        plays=plays,
        refusal=refusal,
        download=_download(track, viewer) if plays else "none",
        is_own=_is_own(track, viewer),
    )


async def _artists(api: Api, track: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return those of the track's artists that are here, by DID."""
    dids = dict.fromkeys([track["artist_did"], *(feature["did"] for feature in track["features"])])
    found = await api.read("/artists", did=list(dids))
    return {artist["did"]: artist for artist in found["items"]}


async def _refusal(api: Api, track: dict[str, Any]) -> tuple[int, str | None]:
    """Return the page's status, and the code of the refusal where the viewer may not hear the track."""
    if track["support_gate"] is None:
        return HTTPStatus.OK, None
    answer = await api.ask_for_headers(f"/audio/{track['file_id']}.{track['file_type']}")
    if answer.is_success or answer.status not in REFUSALS:
        return HTTPStatus.OK, None
    return REFUSALS[HTTPStatus(answer.status)], answer.problem["error"]


def _download(track: dict[str, Any], viewer: Viewer) -> str:
    """Return `open`, `ask` or `supporters`, or `none` where no download is offered."""
    if _is_own(track, viewer):
        return "open"
    return "none" if track["downloads"] == "off" else str(track["downloads"])


def _is_own(track: dict[str, Any], viewer: Viewer) -> bool:
    return viewer.account is not None and viewer.account.did == track["artist_did"]
