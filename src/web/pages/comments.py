"""The forms for comments at the page of a track: to make one, to edit or delete one's own, and to hide one at one's own track."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import HTTPException, Response

from api.requests.parameters import CommentId, TrackId
from api.routers.tracks.tracks import live_track
from web.ask import ApiDep, FormDep, RefusedError
from web.page import pages, to
from web.pages.public import TrackPage, TrackPageDep
from web.pages.studio.subject import problem_of
from web.rendering import artist_address

router = pages("/@{artist}/{track_id}/comments")

PLACE: Final = re.compile(r"[0-9]{1,4}(:[0-9]{1,2}){0,2}", re.ASCII)
"""A place in the audio as a person writes it: `67`, `1:07` or `1:02:30`."""
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "edit": ("PATCH", ""),
    "delete": ("DELETE", ""),
    "hide": ("PUT", "/hidden"),
    "show": ("DELETE", "/hidden"),
}
"""The method and the end of the route, by the end of a form's address."""
TO_SIGN_IN: Final = frozenset({HTTPStatus.UNAUTHORIZED})


@router.post("")
async def comment(artist: str, track_id: TrackId, form: FormDep, api: ApiDep, page: TrackPageDep) -> Response:
    fields = {"text": form.get("text", ""), "timestamp_ms": _milliseconds(form.get("place", ""))}
    try:
        made = await api.send("POST", f"/tracks/{track_id}/comments", fields, key=form.get("key"))
    except RefusedError as refused:
        return await _refused(page, track_id, form, refused)
    return _back(artist, track_id, f"#comment-{made.body['id']}")


@router.post("/{comment_id}/{do}")
async def act(
    *,
    artist: str,
    track_id: TrackId,
    comment_id: CommentId,
    do: str,
    form: FormDep,
    api: ApiDep,
    page: TrackPageDep,
) -> Response:
    if do not in COMMANDS:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    method, end = COMMANDS[do]
    fields: dict[str, Any] | None = None
    if do == "edit":
        is_elsewhere = form.get("place") != form.get("placed")  # a person reads seconds, and may leave them
        fields = {"text": form.get("text", "")}
        fields |= {"timestamp_ms": _milliseconds(form.get("place", ""))} if is_elsewhere else {}
    path, version = f"/comments/{comment_id}{end}", form.get("version")
    try:
        await api.send(method, path, fields, version=version, key=form.get("key"))
    except RefusedError as refused:
        return await _refused(page, track_id, {**form, "id": str(comment_id)}, refused)
    return _back(artist, track_id, f"?hidden={comment_id}#comments" if do == "hide" else "#comments")


def _milliseconds(place: str) -> int | str:
    """Return a place in the audio in milliseconds; any other text as it is, for the API to refuse."""
    if PLACE.fullmatch(place.strip()) is None:
        return place
    seconds = 0
    for part in place.split(":"):
        seconds = seconds * 60 + int(part)
    return seconds * 1000


async def _refused(
    page: TrackPage, track_id: int, said: Mapping[str, str], refused: RefusedError
) -> Response:
    """Show the track with what was typed, and why it was refused."""
    problem = problem_of(refused, TO_SIGN_IN)
    track = await page.ask(live_track, track_id)
    return await page.show(track, said=said, problem=problem, status=refused.status)


def _back(artist: str, track_id: int, end: str) -> Response:
    return to(f"{artist_address(artist, artist)}/{track_id}{end}")
