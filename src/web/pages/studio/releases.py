"""Releases in the studio: all of them, and one form for what is published together."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from api.readers.releases import own_release, upload_limits
from api.requests.fields import ITEM_CHARACTERS, MOST_ITEMS, TEXT_BYTES
from api.requests.parameters import PageQuery, ReleaseId
from api.routers.releases import list_releases
from web.ask import ApiDep, Form, FormDep, OwnAsk, PageRoute, RefusedError, ReleaseFormDep, wanted
from web.history_words import DOWNLOADS
from web.pages.studio.subject import FLAG, Fields, Json, problem_of, text_or_none
from web.pages.studio.track import FIELDS as OF_TRACKS
from web.rendering import RenderDep, utc

HERE: Final = "/studio/releases"
PAGE: Final = 50
ENDS_SOON: Final = timedelta(days=7)
OFFSETS: Final = tuple(
    f"{sign}{hour:02}:{minute:02}" for sign in "-+" for hour in range(15) for minute in (0, 15, 30, 45)
)
FIELDS: Final[Fields] = {
    "title": (text_or_none, str),
    "release_date": (text_or_none, str),
    **{name: OF_TRACKS[name] for name in ("description", "tags", "support_gate", "unlisted", "downloads")},
    "copy_audio": FLAG,
}
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "remove": ("DELETE", "/uploads/{}"),
    "publish": ("POST", "/publish"),
    "schedule": ("POST", "/publish"),
    "unschedule": ("POST", "/unschedule"),
    "preview": ("POST", "/preview"),
    "withdraw": ("DELETE", "/preview"),
    "delete": ("DELETE", ""),
}
"""What the buttons do; any other saves."""

router = APIRouter(prefix=HERE, route_class=PageRoute, include_in_schema=False)


@router.get("")
async def show_releases(ask: OwnAsk, render: RenderDep, cursor: str | None = None) -> Response:
    page = await ask(list_releases, wanted(PageQuery, cursor=cursor, limit=PAGE))
    releases = [{**each, "ends_soon": ends_soon(each)} for each in page["items"]]
    return render("studio/releases.html", releases=releases, cursor=page["cursor"])


@router.post("")
async def begin(form: FormDep, api: ApiDep) -> Response:
    made = (await api.send("POST", "/releases", {}, key=form.get("key"))).body
    return RedirectResponse(f"{HERE}/{made['id']}", HTTPStatus.SEE_OTHER)


def ends_soon(release: Json) -> bool:
    """Whether its owner is told that the draft ends: in its last week."""
    ends = utc(release["expires_at"])
    return ends is not None and ends - datetime.now(UTC) <= ENDS_SOON


class ReleasePage:
    """Shows the page of a release, as it is or with what a form could not do, and sends the form's commands."""

    def __init__(self, ask: OwnAsk, render: RenderDep, api: ApiDep) -> None:
        self._ask: Final = ask
        self._render: Final = render
        self.api: Final = api

    async def of(self, release_id: int) -> dict[str, Any]:
        return dict(await self._ask(own_release, release_id))

    async def show(
        self, release_id: int, status: int = HTTPStatus.OK, typed: Form | None = None, **told: Any
    ) -> Response:
        release = await self.of(release_id)
        order = typed.getlist("upload_id") if typed is not None else []
        place = {each: number for number, each in enumerate(order)}
        texts = {name: text(release[name]) for name, (text, _) in FIELDS.items()}
        values = texts if typed is None else {name: typed.get(name, "") for name in FIELDS}
        return self._render(
            "studio/release.html",
            status,
            release=release,
            here=f"{HERE}/{release_id}",
            is_draft=release["expires_at"] is not None,
            ends_soon=ends_soon(release),
            files=sorted(
                (each for each in release["files"] if each["state"] == "complete"),
                key=lambda each: place.get(each["upload_id"], len(place)),
            ),
            uploads=[each for each in release["files"] if each["state"] != "complete"],
            limits=await self._ask(upload_limits),
            most={"bytes": TEXT_BYTES, "items": MOST_ITEMS, "characters": ITEM_CHARACTERS},
            downloads=DOWNLOADS,
            offsets=OFFSETS,
            values=values,
            typed=typed or {},
            **{"problem": None, "done": "", "preview_url": None, "notes": {}, "overtaken": {}, **told},
        )

    async def save(self, release_id: int, form: Form) -> None:
        """Send what differs from what is there: the fields, then the order and what the tracks have of their own."""
        release = await self.of(release_id)
        if release["expires_at"] is None or "title" not in form:
            return
        # a browser ends its lines with CR LF
        typed = {name: form.get(name, "").replace("\r\n", "\n") for name in FIELDS}
        before = {name: text(release[name]) for name, (text, _) in FIELDS.items()}
        changes = {name: FIELDS[name][1](text) for name, text in typed.items() if text != before[name]}
        if changes:
            await self.api.send("PATCH", f"/releases/{release_id}", changes)
        there = [each["upload_id"] for each in release["files"] if each["state"] == "complete"]
        order = dict.fromkeys([each for each in form.getlist("upload_id") if each in there] + there)
        if order:
            tracks = [_track(form, each) for each in order]
            await self.api.send("PUT", f"/releases/{release_id}/tracks", {"tracks": tracks})


def _track(form: Form, upload_id: str) -> dict[str, Any]:
    """Return what the form says of a track; an empty title leaves it as it is, and no tags give it those of the release."""
    title, description = (form.get(f"{name}-{upload_id}") for name in ("title", "description"))
    tags = form.get(f"tags-{upload_id}")
    track: dict[str, Any] = {"upload_id": upload_id}
    if title:
        track["title"] = title
    if description is not None:
        track["description"] = description.replace("\r\n", "\n") or None
    if tags is not None:
        track["tags"] = OF_TRACKS["tags"][1](tags) or None
    return track


Page = Annotated[ReleasePage, Depends(ReleasePage)]


@router.get("/{release_id}")
async def show(release_id: ReleaseId, page: Page, done: str = "") -> Response:
    return await page.show(release_id, done=done)


@router.post("/{release_id}")
async def act(release_id: ReleaseId, form: ReleaseFormDep, page: Page) -> Response:
    """Save what was typed, and then do what the button says."""
    do, _, upload_id = form.get("do", "save").partition(":")
    method, end = COMMANDS.get(do, ("", ""))
    fields = {"at": f"{form.get('at', '')}{form.get('zone', '')}"} if do == "schedule" else {}
    made = {}
    try:
        if do != "delete":
            await page.save(release_id, _moved(form, do, upload_id))
        if method:
            path = f"/releases/{release_id}{end.format(upload_id)}"
            made = (await page.api.send(method, path, fields, key=form.get("key"))).body
    except RefusedError as refused:
        return await page.show(release_id, refused.status, form, problem=problem_of(refused))
    if do == "preview":
        return await page.show(release_id, preview_url=made["preview_url"])
    address = HERE if do == "delete" else f"{HERE}/{release_id}?done={do}"
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)


def _moved(form: Form, do: str, upload_id: str) -> Form:
    """Return the form with a row moved up or down, as its button says."""
    order = form.getlist("upload_id")
    if do not in {"up", "down"} or upload_id not in order:
        return form
    at = order.index(upload_id)
    order.insert(max(at - 1, 0) if do == "up" else at + 1, order.pop(at))
    rest = [(name, value) for name, value in form.multi_items() if name != "upload_id"]
    return Form([*rest, *(("upload_id", each) for each in order)])


@router.post("/{release_id}/files")
async def send_file(release_id: ReleaseId, page: Page) -> Response:
    """Pass one file on as it comes: the way of those without scripts."""
    return await _pass_on(release_id, page, "POST", f"/releases/{release_id}/uploads")


@router.post("/{release_id}/cover")
async def send_cover(release_id: ReleaseId, page: Page) -> Response:
    return await _pass_on(release_id, page, "PATCH", f"/releases/{release_id}")


async def _pass_on(release_id: int, page: ReleasePage, method: str, path: str) -> Response:
    try:
        await page.api.pass_on(method, path)
    except RefusedError as refused:
        return await page.show(release_id, refused.status, problem=problem_of(refused))
    return RedirectResponse(f"{HERE}/{release_id}", HTTPStatus.SEE_OTHER)
