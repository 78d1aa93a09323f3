"""The timeline of a track; the track as it was then; any two versions compared; whole versions or single fields put back."""

from secrets import token_urlsafe
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api.requests.path_params import TrackId
from web.api_client import ApiDep
from web.forms import Form, form_of
from web.page_route import PageRoute
from web.pages.studio.track import WAIT_SECONDS, Page, my_track
from web.pages.studio.words import changes_of, moment
from web.rendering import RenderDep
from web.viewer import ViewerDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PAGE: Final = 30


@router.get("/studio/tracks/{track_id}/history")
async def show_history(
    track_id: TrackId, api: ApiDep, render: RenderDep, viewer: ViewerDep, cursor: str | None = None
) -> Response:
    """A page of the timeline, newest first."""
    track = await my_track(api, track_id)
    page = await api.read(f"/tracks/{track_id}/history", limit=PAGE, cursor=cursor)
    did = viewer.account.did if viewer.account else ""
    moments = [moment(row, did) for row in page["items"]]
    return render(
        "studio/history.html", track=track, moments=moments, cursor=page["cursor"], is_first=cursor is None
    )


@router.get("/studio/tracks/{track_id}/versions/{version}")
async def show_version(track_id: TrackId, version: int, api: ApiDep, render: RenderDep) -> Response:
    """The track as it was after the change of this version, and how it differs from today."""
    now = await my_track(api, track_id)
    then = await api.read(f"/tracks/{track_id}", version=version)
    found = await api.read(f"/tracks/{track_id}/diff", **{"from": version})
    differs = changes_of(found["changes"])
    return render(
        "studio/version.html",
        track=now,
        then=then,
        version=version,
        newest=found["to_version"],
        differs=differs,
        puttable={each["field"] for each in found["changes"] if each["kept_because"] is None},
        key=token_urlsafe(12),
    )


@router.get("/studio/tracks/{track_id}/compare")
async def compare(request: Request, track_id: TrackId, api: ApiDep, render: RenderDep) -> Response:
    """Two versions, field by field."""
    track = await my_track(api, track_id)
    query = request.query_params
    found = await api.read(
        f"/tracks/{track_id}/diff", **{"from": query.get("from") or "0", "to": query.get("to") or None}
    )
    return render("studio/compare.html", track=track, found=found, changes=changes_of(found["changes"]))


@router.post("/studio/tracks/{track_id}/revert")
async def put_back(track_id: TrackId, request: Request, api: ApiDep, page: Page) -> Response:
    """Put the whole track back, or the chosen fields."""
    form = await form_of(request)
    answer = await api.send(
        "POST",
        f"/tracks/{track_id}/revert",
        _wanted(form),
        version=form.get("version"),
        key=form.get("key"),
        wait_seconds=WAIT_SECONDS,
    )
    return await page.after(track_id, answer, "reverted")


def _wanted(form: Form) -> dict[str, Any]:
    to_version = {"to_version": form.number("to_version")}
    if "whole" in form:
        return to_version
    return {**to_version, "fields": list(dict.fromkeys(form.all("field")))}
