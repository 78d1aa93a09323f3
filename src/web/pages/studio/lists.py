"""Albums and playlists in the studio: all of them, and what the page of one has beside those of any kind: its tracks, in their order."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Response

from api.requests.parameters import MAX_ID, MAX_PAGE_LENGTH, PageQuery, number_of
from api.responses.list import ALBUMS, PLAYLISTS, ShownList
from api.routers.lists.lists import past_list
from api.routers.lists.reads import own_list, page_of_lists
from api.routers.records.mirrors import read_lane
from api.routers.tracks.tracks import Listing, MyListing, list_my_tracks, list_tracks
from identity.accounts.credentials import Principal
from web.ask import Ask, FormDep, Json, RefusedError, wanted
from web.page import Cursor, Own, OwnPage, pages, to
from web.pages.studio.subject import (
    FLAG,
    Fields,
    StudioKind,
    SubjectPage,
    page_of,
    problem_of,
    text_or_none,
)
from web.rendering import counted, day, list_address
from web.state_words import lane_words
from web.whereabouts import where_is

FOUND: Final = 10
"""Tracks that a list may take."""
ENDS_WITH_A_NUMBER: Final = re.compile(r"/([0-9]{1,19})/?$", re.ASCII)
"""The address of a track's page."""
OF_LISTS: Final[Fields] = {"slug": (str, str), "description": (text_or_none, str), "follow": FLAG}


def _about(body: Json) -> str:
    released = body.get("release_date")
    parts = (
        counted(body["track_count"], "track"),
        f"released {day(released)}" if released else "",
        "private" if body.get("visibility") == "private" else "",
        "taken down" if body["taken_down_at"] else "",
    )
    return " · ".join(filter(None, parts))


async def _offered(ask: Ask[Principal], made: Json, find: str) -> dict[str, Any]:
    """Return tracks that the list may take: the viewer's newest, or those with these words; for a playlist, those of other artists too."""
    if find and "visibility" in made:
        page = await ask(list_tracks, wanted(Listing, q=find, limit=MAX_PAGE_LENGTH))
    else:
        page = await ask(list_my_tracks, wanted(MyListing, q=find, limit=MAX_PAGE_LENGTH))
    there = {entry["track_id"] for entry in made["tracks"]}
    offered = [track for track in page["items"] if track["id"] not in there]
    has_more = len(offered) > FOUND or page["cursor"] is not None
    return {"offered": offered[:FOUND], "offers_more": has_more, "find": find}


def _kind(door: ShownList, label: str, fields: Fields, without_record: str) -> StudioKind:
    return StudioKind(
        shown=door,
        home=f"/studio{door.plural}",
        home_label=label,
        template="studio/list.html",
        fields={**fields, **OF_LISTS},
        files={"cover": ("PATCH", "")},
        read=lambda ask, list_id: ask(own_list, door, list_id),
        read_past=lambda caller, services, list_id, then: past_list(caller, services, door, list_id, then),
        about=_about,
        public=list_address,
        query="?confirm=true",
        without_record=without_record,
        beside=_offered,
    )


ALBUM: Final = _kind(
    ALBUMS,
    "Albums",
    {"title": (str, str), "release_date": (text_or_none, str)},
    "The album texts of its tracks made it: your PDS gets a record of it with your first change here.",
)
PLAYLIST: Final = _kind(
    PLAYLISTS,
    "Playlists",
    {"name": (str, str), "visibility": (str, str)},
    "It is private, so your PDS has no record of it.",
)


def routes(kind: StudioKind, door: ShownList) -> APIRouter:
    router, page_here = pages(kind.home), page_of(kind)

    async def shows(
        page: OwnPage, asked: PageQuery, *, deleted: bool = False, refusal: RefusedError | None = None
    ) -> Response:
        found = await page.ask(page_of_lists, door, page.ask.caller.did, asked, deleted=deleted)
        lane = await page.ask(read_lane)
        return page.render(
            "studio/lists.html",
            refusal.status if refusal is not None else HTTPStatus.OK,
            kind=kind,
            word=door.word,
            lists=[{**kind.named(each), "mark": where_is(each).whole} for each in found["items"]],
            cursor=found["cursor"],
            deleted=deleted,
            lane=lane_words(lane) if lane["reason"] else None,
            problem=problem_of(refusal) if refusal is not None else None,
        )

    @router.get("")
    async def show_lists(page: Own, asked: Cursor, *, deleted: bool = False) -> Response:
        return await shows(page, asked, deleted=deleted)

    @router.post("")
    async def make(page: Own, form: FormDep) -> Response:
        fields = {name: form[name] for name in kind.fields if name in form}
        try:
            made = (await page.api.send("POST", door.plural, fields, key=form.get("key"))).body
        except RefusedError as refused:
            return await shows(page, PageQuery(), refusal=refused)
        return to(kind.address(made["id"], "made"))

    @router.post(f"/{{{door.word}_id}}/tracks")
    async def change_tracks(page: Annotated[SubjectPage, page_here], form: FormDep) -> Response:
        """Move a track up or down, take it out, or add one; what is no longer there stays as it is."""
        do, uri, key = form.get("do"), form.get("uri", ""), form.get("key")
        if do == "add":
            return await page.after(page.send(("POST", "/tracks"), _entry(form), key=key), "added")
        if do == "remove":
            which = f"/tracks?uri={quote(uri, safe='')}"
            return await page.after(page.send(("DELETE", which), key=key), "removed")
        uris = [entry["uri"] for entry in (await page.read())["tracks"]]
        at = uris.index(uri) if uri in uris else len(uris)
        place = max(at - 1, 0) if do == "up" else min(at + 1, len(uris) - 1)
        if place == at or uri not in uris:
            return page.back("", f"#at-{at + 1}")
        others = [each for each in uris if each != uri]
        before = {"uri": others[place]} if place < len(others) else None
        sent = page.send(("PATCH", "/tracks"), {"uri": uri, "before": before}, key=key)
        return await page.after(sent, "", f"#at-{place + 1}")

    return router


def _entry(form: Mapping[str, str]) -> dict[str, Any]:
    """Return what to add: the track of an address, of its record or its page, or else the one that was chosen."""
    address = form.get("address", "").strip()
    if address.startswith("at://"):
        return {"uri": address}
    found = ENDS_WITH_A_NUMBER.search(address)
    return {"track_id": number_of(found[1] if found else address or form.get("track", "")) or MAX_ID}
