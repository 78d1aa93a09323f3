"""What a person does with a track beside editing its fields: audio, cover, deletion, delivery."""

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response

from api.requests.path_params import TrackId
from web.api_client import ApiDep
from web.forms import form_of
from web.page_route import PageRoute
from web.pages.studio.track import WAIT_SECONDS, Page

router = APIRouter(route_class=PageRoute, include_in_schema=False)

ACTIONS: Final = {
    "delete": ("DELETE", "", "deleted"),
    "undelete": ("POST", "/undelete", "undeleted"),
    "retry": ("POST", "/mirror/retry", "retried"),
    "restore": ("POST", "/restore-record", "restored"),
    "move": ("POST", "/migrate-namespace", "moved"),
    "copy": ("POST", "/migrate-to-pds", "copying"),
}


@router.post("/studio/tracks/{track_id}/audio")
async def replace_audio(track_id: TrackId, api: ApiDep, page: Page, key: str = "") -> Response:
    """Pass the file on as it comes; what it is for stands in the address, since a form with a file has no headers."""
    answer = await api.pass_on("PUT", f"/tracks/{track_id}/audio", key=key, wait_seconds=WAIT_SECONDS)
    return await page.after(track_id, answer, "audio")


@router.post("/studio/tracks/{track_id}/cover")
async def set_cover(track_id: TrackId, api: ApiDep, page: Page, key: str = "") -> Response:
    answer = await api.pass_on("PATCH", f"/tracks/{track_id}", key=key, wait_seconds=WAIT_SECONDS)
    return await page.after(track_id, answer, "cover")


@router.post("/studio/tracks/{track_id}/cover/remove")
async def remove_cover(track_id: TrackId, request: Request, api: ApiDep, page: Page) -> Response:
    form = await form_of(request)
    answer = await api.send(
        "PATCH",
        f"/tracks/{track_id}",
        {"remove_image": True},
        key=form.get("key"),
        wait_seconds=WAIT_SECONDS,
    )
    return await page.after(track_id, answer, "cover-removed")


@router.post("/studio/tracks/{track_id}/do/{action}")
async def act(track_id: TrackId, action: str, request: Request, api: ApiDep, page: Page) -> Response:
    """Do one of ACTIONS."""
    if action not in ACTIONS:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    form = await form_of(request)
    method, path, done = ACTIONS[action]
    answer = await api.send(
        method,
        f"/tracks/{track_id}{path}",
        key=form.get("key"),
        wait_seconds=WAIT_SECONDS,
    )
    return await page.after(track_id, answer, done)
