"""The timeline of a track, an album or a playlist; any two versions compared; whole versions or single fields put back."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api.pipeline.media_request import ForMedia, MediaRequest
from api.pipeline.past import AsOf
from api.requests.parameters import Id, number_of
from api.responses.mirror import TRACKS
from api.routers.records.history import DiffQuery, HistoryQuery, history_page, read_diff
from identity.accounts.credentials import Principal
from web.ask import Ask, FormDep, Json, OwnAsk, PageRoute, wanted
from web.history_words import changes_of, moments
from web.pages.studio.subject import Page, StudioKind, titled, to_subject
from web.rendering import RenderDep, cover_address

PAGE: Final = 30
COVER_PIXELS: Final = 480
MOST: Final = 100
"""How many events a page reads: as many as the API returns at once."""
REVERT: Final = ("POST", "/revert")


def routes(kind: StudioKind) -> APIRouter:
    router = APIRouter(prefix=kind.path, route_class=PageRoute, include_in_schema=False)
    in_path = kind.shown.in_path

    @router.get("/history")
    async def show_history(
        subject_id: Annotated[Id, in_path],
        ask: OwnAsk,
        render: RenderDep,
        cursor: str | None = None,
        rows: int = 0,
    ) -> Response:
        """A page of the timeline; `rows` is how many events the browser shows already."""
        subject = await kind.of(ask, subject_id)
        asked = wanted(HistoryQuery, limit=min(max(rows, PAGE), MOST), cursor=cursor)
        page = await ask(history_page, kind.shown, subject_id, asked)
        events: list[dict[str, Any]] = page["items"]
        since = None
        if cursor is not None and events and kind.read_past is not None:
            newer = wanted(DiffQuery, **{"from": events[0]["version"]})
            since = await ask.find(read_diff, kind.shown, subject_id, newer)
        today = {each["field"]: each["after"] for each in since["changes"]} if since else {}
        titles = await titled(ask, (each for row in events for each in row["changes"]))
        return render(
            "studio/history.html",
            subject=subject,
            moments=moments(events, ask.caller.did, kind.shown, titles, today),
            cursor=page["cursor"],
            is_first=cursor is None,
        )

    return router


def version_routes(kind: StudioKind) -> APIRouter:
    """Return the routes of a kind that has versions for what was."""
    router = APIRouter(prefix=kind.path, route_class=PageRoute, include_in_schema=False)
    in_path = kind.shown.in_path

    @router.get("/versions/{version}")
    async def show_version(
        *,
        subject_id: Annotated[Id, in_path],
        version: int,
        ask: OwnAsk,
        media: ForMedia,
        render: RenderDep,
        undo: int | None = None,
    ) -> Response:
        """The subject as it was after the change of this version, and how it differs from today.

        The fields of that change are ticked or, to undo another change, those of the version `undo`.
        The beginning changed nothing that was there, so nothing of it is ticked.
        """
        now = await kind.of(ask, subject_id)
        then = await kind.then(ask, subject_id, version)
        found = await _difference(kind, ask, subject_id, version)
        puttable = _revertible(found)
        by = undo or version
        changes_nothing = version == 1 and undo is None
        changed = (
            set() if changes_nothing else _revertible(await _difference(kind, ask, subject_id, by - 1, by))
        )
        left = _revertible(await _difference(kind, ask, subject_id, by - 1))
        cover, is_cover_kept = await _cover_of(kind, media, now, then, version)
        kept = {"audio": then.get("audio_kept", True), "cover": is_cover_kept}
        return render(
            "studio/version.html",
            subject=now,
            then=then,
            version=version,
            cover=cover,
            gone=[name for name, is_kept in kept.items() if not is_kept],
            newest=found["to_version"],
            differs=changes_of(found["changes"], await titled(ask, found["changes"])),
            puttable=puttable,
            ticked=puttable & changed,
            is_undo=undo is not None,
            is_undoable=bool(changed & left) and undo is None,
        )

    @router.post("/versions/{version}/undo")
    async def undo_change(
        subject_id: Annotated[Id, in_path], version: int, ask: OwnAsk, page: Page
    ) -> Response:
        """Put back what this one change changed; where a later one changed the same, lead to a choice instead."""
        now = await kind.of(ask, subject_id)
        before = version - 1
        fields = _revertible(await _difference(kind, ask, subject_id, before, version))
        if not fields & _revertible(await _difference(kind, ask, subject_id, before)):
            return to_subject(kind, subject_id, "unchanged")
        if fields & _revertible(await _difference(kind, ask, subject_id, version)):
            choice = f"{now['here']}/versions/{before}?undo={version}"
            return RedirectResponse(choice, HTTPStatus.SEE_OTHER)
        sent = page.send(
            kind,
            subject_id,
            REVERT,
            {"to_version": before, "fields": sorted(fields)},
            version=str(now["version"]),
            key=f"undo-{now['word']}-{subject_id}-{version}-{now['version']}",
        )
        return await page.after(kind, subject_id, sent, "undone")

    @router.get("/compare")
    async def compare(
        request: Request, subject_id: Annotated[Id, in_path], ask: OwnAsk, render: RenderDep
    ) -> Response:
        """Two versions, named by `from` and `to` or ticked in the history; one alone with the newest."""
        subject, query = await kind.of(ask, subject_id), request.query_params
        ticked = sorted(query.getlist("version"), key=lambda each: number_of(each) or 0)
        before = ticked[0] if ticked else query.get("from") or "0"
        found = await _difference(
            kind, ask, subject_id, before, ticked[-1] if ticked[1:] else query.get("to")
        )
        changes = changes_of(found["changes"], await titled(ask, found["changes"]))
        return render("studio/compare.html", subject=subject, found=found, changes=changes)

    @router.post("/revert")
    async def put_back(subject_id: Annotated[Id, in_path], form: FormDep, page: Page) -> Response:
        part: dict[str, Any] = {"to_version": form.number("to_version")}
        if "whole" not in form:
            part["fields"] = list(dict.fromkeys(form.getlist("field")))
            if not part["fields"]:
                return to_subject(kind, subject_id, "unticked")
        conditions = {"version": form.get("version"), "key": form.get("key")}
        sent = page.send(kind, subject_id, REVERT, part, **conditions)
        return await page.after(kind, subject_id, sent, "reverted")

    return router


async def _difference(
    kind: StudioKind, ask: Ask[Principal], subject_id: int, before: int | str, after: int | str | None = None
) -> Any:
    """Return how a version differs from a later one, or from the newest."""
    return await ask(read_diff, kind.shown, subject_id, wanted(DiffQuery, **{"from": before, "to": after}))


def _revertible(found: Json) -> set[str]:
    return {each["field"] for each in found["changes"] if each["kept_because"] is None}


async def _cover_of(
    kind: StudioKind, media: MediaRequest, now: Json, then: Json, version: int
) -> tuple[str | None, bool]:
    """Return where the cover is, None where none is shown, and whether it is still kept: earlier ones are shown of tracks."""
    shown = cover_address(now, COVER_PIXELS)
    if then["image_url"] is None or (shown is not None and then["image_url"] == now["image_url"]):
        return (shown if then["image_url"] else None), True
    if kind.shown is not TRACKS:
        return None, True
    if not await media.keeps_past_cover(now["id"], AsOf(version=version), COVER_PIXELS):
        return None, False
    return f"/tracks/{now['id']}/artwork?version={version}&size={COVER_PIXELS}", True
