"""Likes, their list, comments and the profile in the studio: lists of them, and a page of each with its record, as tracks have."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from fastapi import Response

from api.readers.reactions import list_my_comments, list_my_liked_tracks
from api.readers.records import own_subject
from api.requests.parameters import CommentId
from api.responses.list import LIKED as LIKED_LIST
from api.responses.mirror import ShownKind
from api.responses.profile import PROFILES
from api.responses.reaction import COMMENTS, LIKES
from api.routers.tracks.tracks import live_track
from identity.accounts.credentials import Principal
from web.ask import ApiDep, Ask, FormDep, Json
from web.page import Cursor, Own, pages, to
from web.pages.studio.subject import StudioKind
from web.rendering import artist_address, track_address
from web.whereabouts import where_is

router = pages()

GONE: Final = "a track that is gone"


async def _reaction(kind: ShownKind[Any], title: str, ask: Ask[Principal], subject_id: int) -> Json:
    made = await ask(own_subject, kind, subject_id)
    track = await ask.find(live_track, made["track_id"]) if made["track_id"] is not None else None
    public = track_address(track) if track is not None else ""
    return {**made, "title": title.format(track["title"] if track is not None else GONE), "public": public}


async def _profile(ask: Ask[Principal], subject_id: int) -> Json:
    public = artist_address(ask.caller.handle, ask.caller.did)
    return {**await ask(own_subject, PROFILES, subject_id), "title": "Profile", "public": public}


async def _liked(ask: Ask[Principal], subject_id: int) -> Json:
    made = await ask(own_subject, LIKED_LIST, subject_id)
    return {**made, "title": "List of likes", "public": "/studio/likes"}


def _text(made: Json) -> str:
    return str(made["text"] or "")


def _kind(
    shown: ShownKind[Any], home: str, home_label: str, read: Callable[..., Awaitable[Json]]
) -> StudioKind:
    return StudioKind(shown=shown, home=home, home_label=home_label, read=read, about=_text)


LIKE: Final = _kind(LIKES, "/studio/likes", "Likes", partial(_reaction, LIKES, "Like of {}"))
COMMENT: Final = _kind(
    COMMENTS, "/studio/comments?mine=true", "Comments", partial(_reaction, COMMENTS, "Comment on {}")
)
LIKED: Final = _kind(LIKED_LIST, "/studio/likes", "Likes", _liked)
PROFILE: Final = _kind(PROFILES, "/studio/pds", "My PDS", _profile)


@router.get("/studio/likes")
async def show_likes(page: Own, asked: Cursor) -> Response:
    found = await page.ask(list_my_liked_tracks, asked)
    likes = [{**each, "mark": where_is(each).whole} for each in found["items"]]
    return page.render("studio/likes.html", likes=likes, cursor=found["cursor"])


@router.get("/studio/comments")
async def show_comments(page: Own, asked: Cursor, *, mine: bool = False) -> Response:
    """The comments on all tracks of the viewer's, to be hidden or shown again; or those that the viewer made."""
    found = await page.ask(list_my_comments, asked, by_caller=mine)
    comments = [{**each, "mark": where_is(each).whole if mine else None} for each in found["items"]]
    return page.render("studio/comments.html", comments=comments, cursor=found["cursor"], mine=mine)


@router.post("/studio/comments/{comment_id}/hidden")
async def set_hidden(comment_id: CommentId, form: FormDep, api: ApiDep) -> Response:
    method = "DELETE" if form.get("hidden") else "PUT"
    await api.send(method, f"/comments/{comment_id}/hidden", key=form.get("key"))
    return to("/studio/comments")
