"""Tracks in the studio: what their pages have beside those of any kind, and uploads."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import HTTPException, Response

from api.responses.mirror import TRACKS
from api.routers.records.mirrors import read_mirror
from api.routers.tracks.tracks import MyListing, list_my_tracks, past_track
from identity.accounts.credentials import Principal
from web.ask import ApiDep, Ask, Json, RefusedError
from web.page import Own, pages, to
from web.pages.studio.subject import FLAG, Fields, StudioKind, problem_of, text_or_none
from web.rendering import RenderDep, track_address

router = pages()


def _list(text: str) -> list[str]:
    return [part for each in text.split(",") if (part := each.strip())]


FIELDS: Final[Fields] = {
    "title": (str, str),
    "album": (text_or_none, str),
    "description": (text_or_none, str),
    "tags": (", ".join, _list),
    "features": (
        lambda artists: ", ".join(each["handle"] or each["did"] for each in artists),
        lambda text: [each.removeprefix("@") for each in _list(text)],
    ),
    "self_labels": (", ".join, _list),
    "support_gate": (
        lambda gate: gate["type"] if gate else "",
        lambda text: {"type": text} if text else None,
    ),
    "unlisted": FLAG,
    "downloads": (str, str),
}


async def _own(ask: Ask[Principal], track_id: int) -> dict[str, Any]:
    """Return the viewer's own track, a deleted one too; raises as `read_mirror` where it is none of theirs."""
    for deleted in (False, True):
        page = await ask(list_my_tracks, MyListing(id=[track_id], deleted=deleted))
        if page["items"]:
            return dict(page["items"][0])
    await ask(read_mirror, TRACKS, track_id)
    raise HTTPException(HTTPStatus.NOT_FOUND)


def _about(track: Json) -> str:
    return " · ".join(filter(None, (track["artist"], track["album"])))


TRACK: Final = StudioKind(
    shown=TRACKS,
    home="/studio",
    home_label="My tracks",
    template="studio/track.html",
    fields=FIELDS,
    files={"audio": ("PUT", "/audio"), "cover": ("PATCH", "")},
    read=_own,
    read_past=past_track,
    about=_about,
    public=track_address,
)


@router.get("/studio/upload")
async def show_upload(page: Own) -> Response:
    return page.render("studio/upload.html", problem=None)


@router.post("/studio/upload")
async def upload(api: ApiDep, render: RenderDep) -> Response:
    try:
        track = (await api.pass_on("POST", "/tracks")).body
    except RefusedError as refused:
        problem = problem_of(refused, {HTTPStatus.UNAUTHORIZED})
        return render("studio/upload.html", refused.status, problem=problem)
    return to(TRACK.address(track["id"], "uploaded"))
