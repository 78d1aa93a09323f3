"""The timeline of a track; the track as it was then; any two versions compared; whole versions or single fields put back."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api.pipeline.media_request import AsOf, ForMedia, MediaRequest
from api.requests.parameters import TrackId
from api.routers.history import DiffQuery, HistoryQuery, history_page, read_diff
from api.routers.tracks import past_track
from identity.accounts.credentials import Principal
from web.ask import ApiDep, Ask, FormDep, OwnAsk, PageRoute, wanted
from web.history_words import changes_of, moment
from web.pages.studio.track import WAIT_SECONDS, Page, my_track, to_track
from web.rendering import RenderDep, cover_address

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PAGE: Final = 30
COVER_PIXELS: Final = 480
MOST: Final = 100
"""How many events a page reads: as many as the API returns at once."""


@router.get("/studio/tracks/{track_id}/history")
async def show_history(
    track_id: TrackId, ask: OwnAsk, render: RenderDep, cursor: str | None = None, rows: int = 0
) -> Response:
    """A page of the timeline; `rows` is how many events the browser shows already."""
    track = await my_track(ask, track_id)
    limit = min(max(rows, PAGE), MOST)
    page = await ask(history_page, track_id, wanted(HistoryQuery, limit=limit, cursor=cursor))
    moments = [moment(row, ask.caller.did) for row in page["items"]]
    return render(
        "studio/history.html",
        track=track,
        moments=moments,
        cursor=page["cursor"],
        is_first=cursor is None,
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
    by = undo or version
    changes_nothing = version == 1 and undo is None
    changed = set() if changes_nothing else _revertible(await _difference(ask, track_id, by - 1, by))
    cover, is_cover_kept = await _cover_of(media, now, then, version)
    kept = {"audio": then["audio_kept"], "cover": is_cover_kept}
    return render(
        "studio/version.html",
        track=now,
        then=then,
        version=version,
        cover=cover,
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
    before = version - 1
    fields = _revertible(await _difference(ask, track_id, before, version))
    if not fields & _revertible(await _difference(ask, track_id, before)):
        return to_track(track_id, "unchanged")
    if fields & _revertible(await _difference(ask, track_id, version)):
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
) -> Any:
    """Return how a version differs from a later one, or from the newest."""
    return await ask(read_diff, track_id, wanted(DiffQuery, **{"from": before, "to": after}))


def _revertible(found: Mapping[str, Any]) -> set[str]:
    return {each["field"] for each in found["changes"] if each["kept_because"] is None}


async def _cover_of(
    media: MediaRequest, now: Mapping[str, Any], then: Mapping[str, Any], version: int
) -> tuple[str | None, bool]:
    """Return where the cover is, None where there was none, and whether it is still kept."""
    if then["image_url"] is None:
        return None, True
    shown = cover_address(now, COVER_PIXELS)
    if shown is not None and then["image_url"] == now["image_url"]:
        return shown, True
    if not await media.keeps_past_cover(now["id"], AsOf(version=version), COVER_PIXELS):
        return None, False
    return f"/tracks/{now['id']}/artwork?version={version}&size={COVER_PIXELS}", True


@router.get("/studio/tracks/{track_id}/compare")
async def compare(request: Request, track_id: TrackId, ask: OwnAsk, render: RenderDep) -> Response:
    track = await my_track(ask, track_id)
    query = request.query_params
    found = await _difference(ask, track_id, query.get("from") or "0", query.get("to"))
    return render("studio/compare.html", track=track, found=found, changes=changes_of(found["changes"]))


@router.post("/studio/tracks/{track_id}/revert")
async def put_back(track_id: TrackId, form: FormDep, api: ApiDep, page: Page) -> Response:
    part: dict[str, Any] = {"to_version": form.number("to_version")}
    if "whole" not in form:
        part["fields"] = list(dict.fromkeys(form.getlist("field")))
        if not part["fields"]:
            return to_track(track_id, "unticked")
    path, version, key = f"/tracks/{track_id}/revert", form.get("version"), form.get("key")
    sent = api.send("POST", path, part, version=version, key=key, wait_seconds=WAIT_SECONDS)
    return await page.after(track_id, sent, "reverted")
