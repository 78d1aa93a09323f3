"""A track and what its artist does with it: its mark, its player, the edit form, uploads; its timeline, any two versions compared, whole versions or single fields put back."""

from collections.abc import Awaitable, Callable, Container, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from api.pipeline.media_request import AsOf, ForMedia, MediaRequest
from api.requests.fields import ITEM_CHARACTERS, MOST_ITEMS, TEXT_BYTES
from api.requests.parameters import TrackId
from api.responses.mirror import TRACKS
from api.routers.history import DiffQuery, HistoryQuery, history_page, read_diff
from api.routers.mirrors import read_lane, read_mirror
from api.routers.tracks import MyListing, list_my_tracks, past_track
from identity.accounts.credentials import Principal
from web.ask import Answer, ApiDep, Ask, FormDep, OwnAsk, PageRoute, RefusedError, wanted
from web.history_words import DOWNLOADS, NOTES, changes_of, last_edit, moment, set_but_kept_here
from web.pages.studio.my_tracks import marked
from web.rendering import RenderDep, cover_address
from web.state_words import Mark, what_saving_does

router = APIRouter(route_class=PageRoute, include_in_schema=False)

NOT_THEIRS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
Problem = Mapping[str, Any]
"""What the API says of a refusal; `field` is empty where it belongs to no field."""


def problem_of(refused: RefusedError, raised: Container[int] = NOT_THEIRS) -> Problem:
    """Return what to show of a refusal; raises one of these statuses."""
    if refused.status in raised:
        raise refused
    problem = {"field": "", "track_id": None, **refused.answer.problem}
    return {**problem, "field": problem["field"].partition(".")[0]}


LATEST: Final = 8
WAIT_SECONDS: Final = 4
"""How long a saved change is waited for, so that the next page can say whether it arrived."""


# The edit form: only what a person changed is sent. An edit of an older version keeps what was typed, and takes over what
# others changed in other fields.

Values = Mapping[str, str]


def _list(text: str) -> list[str]:
    return [part for each in text.split(",") if (part := each.strip())]


FIELDS: Final[Mapping[str, tuple[Callable[[Any], str], Callable[[str], Any]]]] = {
    "title": (str, str),
    "album": (lambda value: value or "", str),
    "description": (lambda value: value or "", str),
    "tags": (", ".join, _list),
    "features": (
        lambda artists: ", ".join(each["handle"] for each in artists),
        lambda text: [each.removeprefix("@") for each in _list(text)],
    ),
    "self_labels": (", ".join, _list),
    "support_gate": (
        lambda gate: gate["type"] if gate else "",
        lambda text: {"type": text} if text else None,
    ),
    "unlisted": (lambda value: "true" if value else "", lambda text: text == "true"),
    "downloads": (str, str),
}
"""How each field becomes a text of the form, and that the JSON that the API takes."""


def texts_of(track: Mapping[str, Any]) -> dict[str, str]:
    return {name: text(track[name]) for name, (text, _) in FIELDS.items()}


def changes(typed: Values, before: Values) -> dict[str, Any]:
    return {name: FIELDS[name][1](text) for name, text in typed.items() if text != before[name]}


def merged(typed: Values, before: Values, now: Values) -> tuple[Values, Values]:
    """Return what was typed, over what is there now, and the present text of the fields that both changed."""
    mine = {name: text for name, text in typed.items() if text != before[name]}
    overtaken = {
        name: now[name] for name, text in mine.items() if now[name] != before[name] and now[name] != text
    }
    return {**now, **mine}, overtaken


async def my_track(ask: Ask[Principal], track_id: int) -> dict[str, Any]:
    """Return the viewer's own track, a deleted one too, with its mark; raises as `read_mirror` where it is none of theirs."""
    for deleted in (False, True):
        page = await ask(list_my_tracks, MyListing(id=[track_id], deleted=deleted))
        if page["items"]:
            return marked(page["items"][0])
    await ask(read_mirror, TRACKS, track_id)
    raise HTTPException(HTTPStatus.NOT_FOUND)


class TrackPage:
    """Shows the page of a track, as it is or with what a form could not do."""

    def __init__(self, ask: OwnAsk, render: RenderDep) -> None:
        self._ask: Final = ask
        self._render: Final = render

    async def show(self, track_id: int, status: int = HTTPStatus.OK, **told: Any) -> Response:
        """Show what is `done` or a `problem`, and a form with other `values` than the track has, some `overtaken`."""
        track = await my_track(self._ask, track_id)
        history = await self._ask(history_page, TRACKS, track_id, HistoryQuery(limit=LATEST))
        lane = await self._ask(read_lane)
        last = last_edit(history["items"], track["version"])
        mirror = await self._ask(read_mirror, TRACKS, track_id) if track["mark"].mark is Mark.ON_PDS else None
        return self._render(
            "studio/track.html",
            status,
            track=track,
            **{"values": texts_of(track), "overtaken": {}, "problem": None, "done": "", **told},
            moments=[moment(row, self._ask.caller.did) for row in history["items"]],
            last_edit=last,
            kept_here="" if track["deleted_at"] else set_but_kept_here(track) or last.kept_here,
            since=mirror["last_success_at"] if mirror else None,
            what_saving_does=what_saving_does(track["mirror"], lane["reason"]),
            notes=NOTES,
            has_older=history["cursor"] is not None,
            limits=LIMITS,
            downloads=DOWNLOADS,
        )

    async def after(self, track_id: int, sent: Awaitable[Answer], done: str) -> Response:
        """Lead back to the track once a command was sent, or show why it was refused."""
        try:
            await sent
        except RefusedError as refused:
            return await self.show(track_id, refused.status, problem=problem_of(refused))
        return to_track(track_id, done)


LIMITS: Final = {"bytes": TEXT_BYTES, "items": MOST_ITEMS, "characters": ITEM_CHARACTERS}
Page = Annotated[TrackPage, Depends(TrackPage)]


def to_track(track_id: int, done: str) -> Response:
    return RedirectResponse(f"/studio/tracks/{track_id}?done={done}", HTTPStatus.SEE_OTHER)


@router.get("/studio/tracks/{track_id}")
async def show_track(track_id: TrackId, page: Page, done: str = "") -> Response:
    return await page.show(track_id, done=done)


@router.post("/studio/tracks/{track_id}")
async def save(track_id: TrackId, form: FormDep, api: ApiDep, ask: OwnAsk, page: Page) -> Response:
    version = form.get("version", "")
    now = await my_track(ask, track_id)
    is_newest = version == str(now["version"])
    before = texts_of(now if is_newest else await ask(past_track, track_id, wanted(AsOf, version=version)))
    # a browser ends its lines with CR LF
    typed = {name: form.get(name, "").replace("\r\n", "\n") for name in FIELDS}
    changed = changes(typed, before)
    if not changed:
        return to_track(track_id, "unchanged")
    path, key = f"/tracks/{track_id}", form.get("key")
    try:
        await api.send("PATCH", path, changed, version=version, key=key, wait_seconds=WAIT_SECONDS)
    except RefusedError as refused:
        problem, status = problem_of(refused), refused.status
    else:
        return to_track(track_id, "saved")
    if status != HTTPStatus.PRECONDITION_FAILED:
        return await page.show(track_id, status, values=typed, problem=problem)
    values, overtaken = merged(typed, before, texts_of(await my_track(ask, track_id)))
    told = {"values": values, "overtaken": overtaken, "problem": problem}
    return await page.show(track_id, HTTPStatus.CONFLICT, **told)


FILES: Final = {"audio": ("PUT", "/audio"), "cover": ("PATCH", "")}
ACTIONS: Final[Mapping[str, tuple[str, str, Mapping[str, object] | None, str]]] = {
    "delete": ("DELETE", "", None, "deleted"),
    "undelete": ("POST", "/undelete", None, "undeleted"),
    "remove-cover": ("PATCH", "", {"remove_image": True}, "cover-removed"),
    "retry": ("POST", "/mirror/retry", None, "retried"),
    "restore": ("POST", "/restore-record", None, "restored"),
    "move": ("POST", "/migrate-namespace", None, "moved"),
    "copy": ("POST", "/migrate-to-pds", None, "copying"),
}
"""The command of each button: its route and fields, and what the page says afterwards."""


@router.post("/studio/tracks/{track_id}/files/{name}")
async def send_file(track_id: TrackId, name: str, api: ApiDep, page: Page, key: str = "") -> Response:
    """Pass the file on as it comes; what it is for stands in the address, since a form with a file has no headers."""
    if name not in FILES:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    method, path = FILES[name]
    sent = api.pass_on(method, f"/tracks/{track_id}{path}", key=key, wait_seconds=WAIT_SECONDS)
    return await page.after(track_id, sent, name)


@router.post("/studio/tracks/{track_id}/do/{action}")
async def act(track_id: TrackId, action: str, form: FormDep, api: ApiDep, page: Page) -> Response:
    if action not in ACTIONS:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    method, path, fields, done = ACTIONS[action]
    path, key = f"/tracks/{track_id}{path}", form.get("key")
    sent = api.send(method, path, fields, key=key, wait_seconds=WAIT_SECONDS)
    return await page.after(track_id, sent, done)


@router.get("/studio/upload")
async def show_upload(_ask: OwnAsk, render: RenderDep) -> Response:
    return render("studio/upload.html", problem=None)


@router.post("/studio/upload")
async def upload(api: ApiDep, render: RenderDep) -> Response:
    try:
        track = (await api.pass_on("POST", "/tracks")).body
    except RefusedError as refused:
        problem = problem_of(refused, {HTTPStatus.UNAUTHORIZED})
        return render("studio/upload.html", refused.status, problem=problem)
    return to_track(track["id"], "uploaded")


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
    page = await ask(history_page, TRACKS, track_id, wanted(HistoryQuery, limit=limit, cursor=cursor))
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
    return await ask(read_diff, TRACKS, track_id, wanted(DiffQuery, **{"from": before, "to": after}))


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
