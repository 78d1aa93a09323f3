"""The timeline of a track, an album or a playlist; any two versions compared; whole versions or single fields put back."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response

from api.pipeline.media_request import ForMedia, MediaRequest
from api.pipeline.past import AsOf
from api.requests.parameters import MAX_PAGE_LENGTH, number_of
from api.responses.mirror import TRACKS
from api.routers.records.history import DiffQuery, HistoryQuery, history_page, read_diff
from web.ask import FormDep, Json, wanted
from web.history_words import changes_of, moments
from web.page import pages, to
from web.pages.studio.subject import StudioKind, SubjectPage, page_of, titled
from web.rendering import cover_address

PAGE: Final = 30
COVER_PIXELS: Final = 480
REVERT: Final = ("POST", "/revert")


def routes(kind: StudioKind) -> APIRouter:
    router, page_here = pages(kind.path), page_of(kind)

    @router.get("/history")
    async def show_history(
        page: Annotated[SubjectPage, page_here], cursor: str | None = None, rows: int = 0
    ) -> Response:
        """A page of the timeline; `rows` is how many events the browser shows already."""
        ask, subject = page.ask, await page.read()
        asked = wanted(HistoryQuery, limit=min(max(rows, PAGE), MAX_PAGE_LENGTH), cursor=cursor)
        found = await ask(history_page, kind.shown, page.subject_id, asked)
        events: list[Json] = found["items"]
        since = None
        if cursor is not None and events and kind.read_past is not None:
            newer = wanted(DiffQuery, **{"from": events[0]["version"]})
            since = await ask.find(read_diff, kind.shown, page.subject_id, newer)
        today = {each["field"]: each["after"] for each in since["changes"]} if since else {}
        titles = await titled(ask, (each for row in events for each in row["changes"]))
        return page.render(
            "studio/history.html",
            subject=subject,
            moments=moments(events, ask.caller.did, kind.shown, titles, today),
            cursor=found["cursor"],
            is_first=cursor is None,
        )

    return router


def version_routes(kind: StudioKind) -> APIRouter:
    """Return the routes of a kind that has versions for what was."""
    router, page_here = pages(kind.path), page_of(kind)

    @router.get("/versions/{version}")
    async def show_version(
        page: Annotated[SubjectPage, page_here], version: int, media: ForMedia, undo: int | None = None
    ) -> Response:
        """The subject as it was after the change of this version, and how it differs from today.

        The fields of that change are ticked or, to undo another change, those of the version `undo`.
        The beginning changed nothing that was there, so nothing of it is ticked.
        """
        now, then = await page.read(), await kind.then(page.ask, page.subject_id, version)
        found = await _difference(page, version)
        puttable = _revertible(found)
        by = undo or version
        changes_nothing = version == 1 and undo is None
        changed = set() if changes_nothing else _revertible(await _difference(page, by - 1, by))
        left = _revertible(await _difference(page, by - 1))
        cover, is_cover_kept = await _cover_of(kind, media, now, then, version)
        kept = {"audio": then.get("audio_kept", True), "cover": is_cover_kept}
        return page.render(
            "studio/version.html",
            subject=now,
            then=then,
            version=version,
            cover=cover,
            gone=[name for name, is_kept in kept.items() if not is_kept],
            newest=found["to_version"],
            differs=changes_of(found["changes"], await titled(page.ask, found["changes"])),
            puttable=puttable,
            ticked=puttable & changed,
            is_undo=undo is not None,
            is_undoable=bool(changed & left) and undo is None,
        )

    @router.post("/versions/{version}/undo")
    async def undo_change(page: Annotated[SubjectPage, page_here], version: int) -> Response:
        """Put back what this one change changed; where a later one changed the same, lead to a choice instead."""
        now, before = await page.read(), version - 1
        fields = _revertible(await _difference(page, before, version))
        if not fields & _revertible(await _difference(page, before)):
            return page.back("unchanged")
        if fields & _revertible(await _difference(page, version)):
            return to(f"{now['here']}/versions/{before}?undo={version}")
        sent = page.send(
            REVERT,
            {"to_version": before, "fields": sorted(fields)},
            version=str(now["version"]),
            key=f"undo-{now['word']}-{page.subject_id}-{version}-{now['version']}",
        )
        return await page.after(sent, "undone")

    @router.get("/compare")
    async def compare(page: Annotated[SubjectPage, page_here], request: Request) -> Response:
        """Two versions, named by `from` and `to` or ticked in the history; one alone with the newest."""
        subject, query = await page.read(), request.query_params
        ticked = sorted(query.getlist("version"), key=lambda each: number_of(each) or 0)
        before = ticked[0] if ticked else query.get("from") or "0"
        found = await _difference(page, before, ticked[-1] if ticked[1:] else query.get("to"))
        changes = changes_of(found["changes"], await titled(page.ask, found["changes"]))
        return page.render("studio/compare.html", subject=subject, found=found, changes=changes)

    @router.post("/revert")
    async def put_back(page: Annotated[SubjectPage, page_here], form: FormDep) -> Response:
        part: dict[str, Any] = {"to_version": form.number("to_version")}
        if "whole" not in form:
            part["fields"] = list(dict.fromkeys(form.getlist("field")))
            if not part["fields"]:
                return page.back("unticked")
        sent = page.send(REVERT, part, version=form.get("version"), key=form.get("key"))
        return await page.after(sent, "reverted")

    return router


async def _difference(page: SubjectPage, before: int | str, after: int | str | None = None) -> Any:
    """Return how a version differs from a later one, or from the newest."""
    asked = wanted(DiffQuery, **{"from": before, "to": after})
    return await page.ask(read_diff, page.kind.shown, page.subject_id, asked)


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
