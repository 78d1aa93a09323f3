"""Pages of artists, and lists of tracks with a tag."""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from identity.resolution.identifiers import INVALID_HANDLE
from web.addresses import artist_address
from web.api_client import ApiDep
from web.page_route import PageRoute
from web.rendering import RenderDep
from web.viewer import ViewerDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)

TRACKS: Final = 48


@router.get("/@{artist}")
async def show_artist(
    artist: str, api: ApiDep, render: RenderDep, viewer: ViewerDep, cursor: str | None = None
) -> Response:
    """An artist and their public tracks, newest first; the address by DID leads to that by handle."""
    found = await api.read(f"/artists/{artist}")
    address = artist_address(found["handle"], found["did"])
    if address != artist_address(artist, artist):
        query = f"?{urlencode({'cursor': cursor})}" if cursor else ""
        return RedirectResponse(address + query, HTTPStatus.FOUND)
    page = await api.read("/tracks", artist=found["did"], cursor=cursor, limit=TRACKS)
    return render(
        "artist.html",
        artist=found,
        address=address,
        has_handle=found["handle"] != INVALID_HANDLE,
        is_own=viewer.account is not None and viewer.account.did == found["did"],
        tracks=page["items"],
        cursor=page["cursor"],
        is_first_page=cursor is None,
    )


@router.get("/tags/{tag:path}")
async def show_tag(tag: str, api: ApiDep, render: RenderDep, cursor: str | None = None) -> Response:
    """The public tracks with a tag, newest first."""
    page = await api.read("/tracks", tag=tag, cursor=cursor, limit=TRACKS)
    return render(
        "tag.html", tag=tag, tracks=page["items"], cursor=page["cursor"], is_first_page=cursor is None
    )
