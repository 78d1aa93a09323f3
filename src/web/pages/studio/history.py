"""The timeline of a track; the track as it was then; any two versions compared; whole versions or single fields put back."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from api.pipeline.media_request import ForMedia, MediaRequest
from api.pipeline.past_state import AsOf
from api.requests.parameters import TrackId
from api.routers.history import DiffQuery, HistoryQuery, history_page, read_diff
from api.routers.tracks import past_track
from identity.accounts.credentials import Principal
from web.ask import Ask, OwnAsk, wanted
from web.filters import cover_address
from web.forms import ApiDep, Form, form_of
from web.history_words import changes_of, moment
from web.page_route import PageRoute
from web.pages.studio.track import WAIT_SECONDS, Page, my_track, to_track
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PAGE: Final = 30
COVER_PIXELS: Final = 480
MOST: Final = 100
"""How many events a page reads: as many as the API returns at once."""


class Timeline(BaseModel):
    """Which part of the timeline; `rows` is how many events the browser shows already."""

    cursor: str | None = None
    rows: int = 0


class CoverOfThen(NamedTuple):
    """Where a cover is; None where the track had none, or it is no longer kept."""

    address: str | None
    is_kept: bool = True


@router.get("/studio/tracks/{track_id}/history")
async def show_history(
    track_id: TrackId, ask: OwnAsk, render: RenderDep, part: Annotated[Timeline, Query()]
) -> Response:
    """A page of the timeline, newest first."""
    track = await my_track(ask, track_id)
    limit = min(max(part.rows, PAGE), MOST)
    page = await ask(history_page, track_id, HistoryQuery(limit=limit, cursor=part.cursor))
    moments = [moment(row, ask.caller.did) for row in page["items"]]
    return render(
        "studio/history.html",
        track=track,
        moments=moments,
        cursor=page["cursor"],
        is_first=part.cursor is None,
    )


@router.get("/studio/tracks/{track_id}/versions/{version}")
async def show_version(
    *,
    track_id: TrackId,
    version: int,
    ask: OwnAsk,
    media: ForMedia,
    render: RenderDep,
    undo: int | None = None,
) -> Response:
    """The track as it was after the change of this version, and how it differs from today.

    The fields of that change are ticked or, to undo another change, those of the version `undo`.
    The beginning of a track changed nothing that was there, so nothing of it is ticked.
    """
    now = await my_track(ask, track_id)
    then = await ask(past_track, track_id, AsOf(version=version))
    found = await _difference(ask, track_id, version)
    puttable = _revertible(found)
    changed = set() if version == 1 and undo is None else await _changed_by(ask, track_id, undo or version)
    cover = await _cover_of(media, now, then, version)
    kept = {"audio": then["audio_kept"], "cover": cover.is_kept}
    return render(
        "studio/version.html",
        track=now,
        then=then,
        version=version,
        cover=cover.address,
        gone=[name for name, is_kept in kept.items() if not is_kept],
        newest=found["to_version"],
        differs=changes_of(found["changes"]),
        puttable=puttable,
        ticked=puttable & changed,
        is_undo=undo is not None,
        is_undoable=bool(changed) and undo is None,
    )


@router.post("/studio/tracks/{track_id}/versions/{version}/undo")
async def undo_change(track_id: TrackId, version: int, api: ApiDep, ask: OwnAsk, page: Page) -> Response:
    """Put back what this one change changed; where a later one changed the same, lead to a choice instead."""
    now = await my_track(ask, track_id)
    fields = await _changed_by(ask, track_id, version)
    before = version - 1
    if not fields & await _changed_since(ask, track_id, before):
        return to_track(track_id, "unchanged")
    if fields & await _changed_since(ask, track_id, version):
        choice = f"/studio/tracks/{track_id}/versions/{before}?undo={version}"
        return RedirectResponse(choice, HTTPStatus.SEE_OTHER)
    sent = api.send(
        "POST",
        f"/tracks/{track_id}/revert",
        {"to_version": before, "fields": sorted(fields)},
        version=str(now["version"]),
        key=f"undo-{track_id}-{version}-{now['version']}",
        wait_seconds=WAIT_SECONDS,
    )
    return await page.after(track_id, sent, "undone")


async def _difference(
    ask: Ask[Principal], track_id: int, before: int | str, after: int | str | None = None
) -> Mapping[str, Any]:
    """Return how a version differs from a later one, or from the newest."""
    found: Mapping[str, Any] = await ask(
        read_diff, track_id, wanted(DiffQuery, **{"from": before, "to": after})
    )
    return found


async def _changed_by(ask: Ask[Principal], track_id: int, version: int) -> set[str]:
    """Return the fields that the change of this version changed, and that can be put back."""
    return _revertible(await _difference(ask, track_id, version - 1, version))


async def _changed_since(ask: Ask[Principal], track_id: int, version: int) -> set[str]:
    return _revertible(await _difference(ask, track_id, version))


def _revertible(found: Mapping[str, Any]) -> set[str]:
    return {each["field"] for each in found["changes"] if each["kept_because"] is None}


async def _cover_of(
    media: MediaRequest, now: Mapping[str, Any], then: Mapping[str, Any], version: int
) -> CoverOfThen:
    if then["image_url"] is None:
        return CoverOfThen(None)
    shown = cover_address(now, COVER_PIXELS)
    if shown is not None and then["image_url"] == now["image_url"]:
        return CoverOfThen(shown)
    if not await media.keeps_past_cover(now["id"], AsOf(version=version), COVER_PIXELS):
        return CoverOfThen(None, is_kept=False)
    query = urlencode({"version": version, "size": COVER_PIXELS})
    return CoverOfThen(f"/tracks/{now['id']}/artwork?{query}")


@router.get("/studio/tracks/{track_id}/compare")
async def compare(request: Request, track_id: TrackId, ask: OwnAsk, render: RenderDep) -> Response:
    """Two versions, field by field."""
    track = await my_track(ask, track_id)
    query = request.query_params
    found = await _difference(ask, track_id, query.get("from") or "0", query.get("to"))
    return render("studio/compare.html", track=track, found=found, changes=changes_of(found["changes"]))


@router.post("/studio/tracks/{track_id}/revert")
async def put_back(track_id: TrackId, request: Request, api: ApiDep, page: Page) -> Response:
    """Put the whole track back, or the chosen fields."""
    form = await form_of(request)
    part = _part(form)
    if part.get("fields") == []:
        return to_track(track_id, "unticked")
    path, version, key = f"/tracks/{track_id}/revert", form.get("version"), form.get("key")
    sent = api.send("POST", path, part, version=version, key=key, wait_seconds=WAIT_SECONDS)
    return await page.after(track_id, sent, "reverted")


def _part(form: Form) -> dict[str, Any]:
    to_version = {"to_version": form.number("to_version")}
    if "whole" in form:
        return to_version
    return {**to_version, "fields": list(dict.fromkeys(form.all("field")))}
