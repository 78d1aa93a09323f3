"""My tracks: each with its mark; filtered, searched, and a selection copied to the PDS or compared with it, with counts first."""

from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from time import monotonic
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Response

from api.errors import UnparsableError
from api.requests.parameters import MAX_PAGE_LENGTH, number_of
from api.routers.records.mirrors import read_lane
from api.routers.tracks.tracks import MyListing, list_my_tracks
from identity.accounts.credentials import Principal
from web.ask import ApiDep, Ask, FormDep, Json, RefusedError, wanted
from web.page import Ids, Numbers, Own, pages, to
from web.pages.studio.waiting import tasks_of
from web.state_words import WORDS, Mark, lane_words
from web.whereabouts import count_by_mark, filter_of, may_copy, where_is

router = pages()

PAGE: Final = 50
MAX_COPY_SECONDS: Final = 20.0
"""For the requests of one form; it names the tracks that are left."""
DELETED: Final = "deleted"
FILTERS: Final = {
    **{mark.value: mark.label for mark in Mark if mark is not Mark.HERE},
    DELETED: "Deleted",
}


def marked(track: Json) -> dict[str, Any]:
    where = where_is(track)
    return {**track, "where": where, "mark": where.whole}


@router.get("/studio")
async def show_my_tracks(
    *, page: Own, row: Numbers, mark: str = "", q: str = "", cursor: str | None = None
) -> Response:
    """A page of the account's tracks; those of `row` are there already: what the page does not list gets its mark beside it."""
    q, ask = q.strip(), page.ask
    lane = await ask(read_lane)
    states = filter_of(Mark(mark), lane["reason"]) if mark in set(Mark) else None
    has_none = states is None and mark not in {"", DELETED}
    which = wanted(
        MyListing,
        **(states or {}),
        q=q,
        deleted=mark == DELETED,
        cursor=cursor,
        limit=1 if has_none else PAGE,
    )
    found = await ask(list_my_tracks, which)
    counts, tracks = found["counts"], [] if has_none else [marked(each) for each in found["items"]]
    listed = {track["id"] for track in tracks}
    unlisted = [each for each in row if each not in listed]
    by_mark = {}
    if counts is not None:
        by_mark = count_by_mark(counts, lane["reason"], found["audio_refused"]) | {DELETED: found["deleted"]}
    return page.render(
        "studio/my_tracks.html",
        tracks=tracks,
        others=await selected(ask, unlisted, deleted=mark == DELETED),
        cursor=None if has_none else found["cursor"],
        counts=by_mark,
        tasks=await tasks_of(ask, lane["reason"], found["audio_refused"]) if counts is not None else [],
        total=sum(counts.values()) if counts is not None else None,
        filters=FILTERS,
        mark=mark,
        q=q,
        lane=lane_words(lane) if lane["reason"] else None,
        here="?" + urlencode({"mark": mark, "q": q}),
    )


@router.get("/studio/selection")
async def confirm(page: Own, ids: Ids, action: str = "copy") -> Response:
    tracks = await selected(page.ask, ids)
    groups = Counter(WORDS.audio[track["audio_copy"]].copies for track in tracks)
    to_copy = [track for track in tracks if may_copy(track)]
    return page.render(
        "studio/selection.html",
        action=action,
        tracks=tracks,
        to_copy=to_copy,
        octets=sum(track["audio_size"] for track in to_copy),
        groups=groups,
        problem=None,
    )


@router.post("/studio/copy")
async def copy(form: FormDep, api: ApiDep) -> Response:
    ids = [number for each in form.getlist("id") if (number := number_of(each)) is not None]
    if len(ids) > MAX_PAGE_LENGTH:
        raise UnparsableError(f"Select at most {MAX_PAGE_LENGTH} tracks at a time. Nothing was changed.")
    failed: list[int] = []
    ends = monotonic() + MAX_COPY_SECONDS
    for track_id in ids:
        if monotonic() > ends:  # a PDS that hangs is asked before each
            failed.append(track_id)
            continue
        key = f"{form.get('key', '')}-{track_id}"
        try:
            await api.send("POST", f"/tracks/{track_id}/migrate-to-pds", key=key)
        except RefusedError as refused:
            if refused.status == HTTPStatus.UNAUTHORIZED:
                raise
            failed.append(track_id)
    query = urlencode({"id": ids, "failed": failed}, doseq=True)
    return to(f"/studio/copies?{query}")


@router.get("/studio/copies")
async def show_copies(page: Own, ids: Ids, failed: Numbers) -> Response:
    tracks = await selected(page.ask, ids)
    marks = Counter(track["where"].audio.mark for track in tracks if track["where"].audio)
    return page.render(
        "studio/copies.html",
        tracks=tracks,
        there=marks[Mark.ON_PDS],
        is_done=marks[Mark.ON_PDS] + marks[Mark.AUDIO_REFUSED] == len(tracks),
        failed=failed,
    )


async def selected(ask: Ask[Principal], ids: Sequence[int], *, deleted: bool = False) -> list[dict[str, Any]]:
    if not ids:
        return []
    wanted = list(dict.fromkeys(ids))[:MAX_PAGE_LENGTH]
    page = await ask(list_my_tracks, MyListing(id=wanted, deleted=deleted, limit=MAX_PAGE_LENGTH))
    return [marked(track) for track in page["items"]]
