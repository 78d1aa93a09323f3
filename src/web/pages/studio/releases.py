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
from api.routers.releases.releases import list_releases
from web.ask import ApiDep, Form, FormDep, Json, OwnAsk, PageRoute, RefusedError, ReleaseFormDep, wanted
from web.history_words import DOWNLOADS
from web.pages.studio.release_form import digest, files_of, read, texts_of
from web.pages.studio.subject import problem_of
from web.rendering import RenderDep, utc

HERE: Final = "/studio/releases"
PAGE: Final = 50
ENDS_SOON: Final = timedelta(days=7)
OFFSETS: Final = tuple(
    f"{sign}{hour:02}:{minute:02}" for sign in "-+" for hour in range(15) for minute in (0, 15, 30, 45)
)
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
OVERTAKEN: Final = {"error": "version_mismatch", "field": ""}

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
        """Show what is `told`, and what was `typed` over what is there."""
        release, typed = await self.of(release_id), typed or Form()
        edit, files = read(release, typed), {each["upload_id"]: each for each in files_of(release)}
        is_draft = release["expires_at"] is not None
        return self._render(
            "studio/release.html",
            status,
            release=release,
            here=f"{HERE}/{release_id}",
            is_draft=is_draft,
            is_form=is_draft or bool(edit.changed) or edit.is_moved,
            ends_soon=ends_soon(release),
            files=[files[each] for each in edit.order],
            uploads=[each for each in release["files"] if each["state"] != "complete"],
            limits=await self._ask(upload_limits),
            most={"bytes": TEXT_BYTES, "items": MOST_ITEMS, "characters": ITEM_CHARACTERS},
            downloads=DOWNLOADS,
            offsets=OFFSETS,
            values=edit.values,
            overtaken=edit.overtaken,
            versions={name: digest(text) for name, text in texts_of(release).items()},
            typed=typed,
            **{"problem": None, "done": "", "preview_url": None, "notes": {}, **told},
        )

    async def save(self, release_id: int, form: Form) -> bool:
        """Send what a person changed, and nothing else; returns False, and sends nothing, where others have changed the same since."""
        release = await self.of(release_id)
        edit, here, version = read(release, form), f"/releases/{release_id}", release["version"]
        if edit.overtaken:
            return False
        if edit.fields:
            version = (await self.api.send("PATCH", here, edit.fields, version=version)).body["version"]
        if edit.tracks:
            await self.api.send("PUT", f"{here}/tracks", {"tracks": edit.tracks}, version=version)
        return True


Page = Annotated[ReleasePage, Depends(ReleasePage)]


@router.get("/{release_id}")
async def show(release_id: ReleaseId, page: Page, done: str = "") -> Response:
    return await page.show(release_id, done=done)


@router.post("/{release_id}")
async def act(release_id: ReleaseId, form: ReleaseFormDep, page: Page) -> Response:
    """Save what was typed, and then do what the button says; what is scheduled takes text once it is a draft again."""
    do, _, upload_id = form.get("do", "save").partition(":")
    method, end = COMMANDS.get(do, ("", ""))
    fields = {"at": f"{form.get('at', '')}{form.get('zone', '')}"} if do == "schedule" else {}
    path = f"/releases/{release_id}{end.format(upload_id)}"
    made, form = {}, _moved(form, do, upload_id)
    try:
        if do == "unschedule":
            await page.api.send(method, path, key=form.get("key"))
            method = ""
        if do != "delete" and not await page.save(release_id, form):
            return await page.show(release_id, HTTPStatus.CONFLICT, form, problem=OVERTAKEN)
        if method:
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
